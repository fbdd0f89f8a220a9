//! What systemd is told (sd_notify(3)). Where there is no systemd, nothing of this does anything.

use sd_notify::NotifyState;

/// Started, or done with a reload.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// About to load anew. `Type=notify-reload` wants to know when.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// No longer accepting.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("letting what is in flight end")]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
