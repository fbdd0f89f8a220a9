//! Warns of certificates that expire while the gate runs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use crate::downstream::{Shared, Snapshot};

/// Interval between two warnings of the same certificate. Loading it has warned already.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Warns once a day until the task is dropped.
pub(super) async fn watch(shared: Arc<Shared>) {
    loop {
        sleep(INTERVAL).await;
        warn(&shared.snapshot.load(), SystemTime::now());
    }
}

fn warn(snapshot: &Snapshot, now: SystemTime) {
    for (certificate, validity) in snapshot.certificates {
        if let Some(warning) = validity.and_then(|validity| validity.warning(now)) {
            tracing::warn!(
                certificate,
                "{warning}: renew it; a new file is used as soon as it is there"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path, sync::Mutex};

    use super::*;
    use crate::config::Validity;
    use crate::telemetry::Exporters;

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn expiring_certificate_is_warned_about_once_a_day() {
        let (log, now) = (Log::default(), SystemTime::now());
        let until = now.checked_add(Duration::from_secs(1000)).unwrap();
        let text = "public_url = \"https://hooks.example.com\"\n\
            upstream = \"http://127.0.0.1:1\"\nauth_tokens = [\"7d3c9f1e5a2b48060c1d9e8f7a6b5c40\"]";
        let mut config = crate::config::parse(text, "expiry", Path::new(".")).unwrap();
        config.client_certificate = Some(Validity { from: SystemTime::UNIX_EPOCH, until });
        let shared = Arc::new(Shared::new(config, Exporters::default()).unwrap());
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true) // days pass at once
            .build()
            .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            runtime.block_on(async {
                let days = INTERVAL.saturating_mul(5) / 2;
                assert!(tokio::time::timeout(days, watch(shared)).await.is_err());
            });
        });
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(log.matches("the certificate expires on").count(), 2, "{log}");
        assert!(log.contains("certificate=\"client\""), "{log}");
    }
}
