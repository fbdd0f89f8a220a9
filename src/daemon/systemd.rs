//! Notifies systemd of state changes (sd_notify(3)). Does nothing without systemd.

use sd_notify::NotifyState;

/// Reports the end of start-up or of a reload.
pub(super) fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports the start of a reload, with the time that `Type=notify-reload` requires.
pub(super) fn notify_reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// Reports the start of a shutdown.
pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("waiting for requests in flight")]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
