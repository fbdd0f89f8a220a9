//! Validates `[limits]`.

use std::time::Duration;

use super::{DEFAULT_MAX_BODY, Validator};
use crate::config::{
    fault::FaultKind,
    raw::{HumanDuration, Located, RawLimits},
};
use crate::limits::Limits;
use crate::routes::Route;

impl Validator<'_> {
    pub(super) fn validate_limits(&mut self, routes: &[Route]) -> Limits {
        let raw = &self.raw.limits;
        let mut limits = Limits::default();
        self.set_counts(raw, &mut limits);
        self.set_sizes(raw, routes, &mut limits);
        self.set_durations(raw, &mut limits);
        for (written, period) in [
            (&raw.connect_retry, &mut limits.connect_retry),
            (&raw.upstream_idle_timeout, &mut limits.upstream_idle_timeout),
            (&raw.drain_delay, &mut limits.drain_delay),
            (&raw.drain_timeout, &mut limits.drain_timeout),
            (&raw.tunnel_drain_timeout, &mut limits.tunnel_drain_timeout),
        ] {
            *period = written.as_ref().map_or(*period, |located| located.value.0); // zero turns the delay or timeout off
        }
        limits
    }

    fn set_durations(&mut self, raw: &RawLimits, limits: &mut Limits) {
        for (written, key, period) in [
            (&raw.head_timeout, "limits.head_timeout", &mut limits.head_timeout),
            (&raw.idle_timeout, "limits.idle_timeout", &mut limits.idle_timeout),
            (&raw.body_timeout, "limits.body_timeout", &mut limits.body_timeout),
            (&raw.connect_timeout, "limits.connect_timeout", &mut limits.connect_timeout),
            (&raw.response_timeout, "limits.response_timeout", &mut limits.response_timeout),
            (
                &raw.response_idle_timeout,
                "limits.response_idle_timeout",
                &mut limits.response_idle_timeout,
            ),
            (
                &raw.tunnel_idle_timeout,
                "limits.tunnel_idle_timeout",
                &mut limits.tunnel_idle_timeout,
            ),
        ] {
            *period = self.validate_duration(written.as_ref(), key, *period);
        }
    }

    fn set_counts(&mut self, raw: &RawLimits, limits: &mut Limits) {
        let all = self.validate_count(
            raw.max_connections.as_ref(),
            "limits.max_connections",
            limits.max_connections,
        );
        limits.max_connections = all;
        limits.max_connections_per_peer = all.div_ceil(4);
        for (written, key, number) in [
            (
                &raw.max_connections_per_peer,
                "limits.max_connections_per_peer",
                &mut limits.max_connections_per_peer,
            ),
            (&raw.max_in_flight, "limits.max_in_flight", &mut limits.max_in_flight),
            (&raw.max_headers, "limits.max_headers", &mut limits.max_headers),
        ] {
            *number = self.validate_count(written.as_ref(), key, *number);
        }
        let kept = raw.upstream_idle_connections.as_ref().map(|located| located.value);
        limits.upstream_idle_connections = kept.unwrap_or(limits.max_in_flight);
    }

    fn set_sizes(&mut self, raw: &RawLimits, routes: &[Route], limits: &mut Limits) {
        limits.max_head_bytes =
            self.validate_head_bytes(raw.max_head_bytes.as_ref(), limits.max_head_bytes);
        limits.max_buffered_bytes = self.validate_buffered_bytes(routes, limits.max_buffered_bytes);
        limits.min_body_rate =
            raw.min_body_rate.as_ref().map_or(limits.min_body_rate, |located| located.value);
    }

    /// At least 8192: browsers and proxies send heads of several KiB.
    fn validate_head_bytes(&mut self, located: Option<&Located<usize>>, default: usize) -> usize {
        let Some(located) = located else { return default };
        if located.value < 8192 {
            self.record_fault(
                &located.location,
                "limits.max_head_bytes",
                FaultKind::TooSmall("8192"),
            );
        }
        located.value
    }

    /// At least the largest `max_body_bytes`: a larger body would never fit. The default is four times
    /// that, because one peer has a quarter of it.
    fn validate_buffered_bytes(&mut self, routes: &[Route], default: u64) -> u64 {
        let raw = self.raw;
        let of_all =
            raw.limits.max_body_bytes.as_ref().map_or(DEFAULT_MAX_BODY, |located| located.value);
        let of_routes = routes.iter().map(|route| route.max_body_bytes).max();
        let longest = of_routes.unwrap_or(of_all);
        let Some(located) = &raw.limits.max_buffered_bytes else {
            return default.max(longest.saturating_mul(4));
        };
        if located.value < longest {
            let kind = FaultKind::TooSmall("the longest body that a route takes");
            self.record_fault(&located.location, "limits.max_buffered_bytes", kind);
        }
        located.value
    }

    fn validate_count(
        &mut self,
        located: Option<&Located<usize>>,
        key: &'static str,
        default: usize,
    ) -> usize {
        let Some(located) = located else { return default };
        if located.value == 0 {
            self.record_fault(&located.location, key, FaultKind::TooSmall("1"));
        }
        located.value
    }

    pub(super) fn validate_duration(
        &mut self,
        located: Option<&Located<HumanDuration>>,
        key: &'static str,
        default: Duration,
    ) -> Duration {
        let Some(located) = located else { return default };
        if located.value.0.is_zero() {
            self.record_fault(&located.location, key, FaultKind::TooSmall("1ms"));
        }
        located.value.0
    }
}
