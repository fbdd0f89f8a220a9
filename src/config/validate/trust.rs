//! Validates `[trust]`: the proxies that may state the public URL.

use super::Validator;
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location},
};
use crate::routes::{Trust, TrustFault};

impl Validator<'_> {
    pub(super) fn validate_trust(&mut self) -> Option<Trust> {
        let raw = self.raw.trust.as_ref()?;
        let mut trust = Trust::default();
        let (proxies, hosts) = (raw.value.proxies.as_ref(), raw.value.hosts.as_ref());
        self.add_each(&raw.location, proxies, "trust.proxies", |text| trust.add_proxy(text));
        self.add_each(&raw.location, hosts, "trust.hosts", |text| trust.add_host(text));
        Some(trust)
    }

    /// Adds each entry of a required, non-empty list.
    fn add_each(
        &mut self,
        table: &Location,
        list: Option<&Located<Vec<Located<String>>>>,
        key: &'static str,
        mut add: impl FnMut(&str) -> Result<(), TrustFault>,
    ) {
        let Some(list) = list else { return self.record_missing(table, key) };
        if list.value.is_empty() {
            self.record_fault(&list.location, key, FaultKind::EmptyTrustList);
        }
        for entry in &list.value {
            self.record_err(&entry.location, key, add(&entry.value), FaultKind::Trust);
        }
    }
}
