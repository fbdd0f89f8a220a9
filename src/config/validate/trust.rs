//! `[trust]`: who is believed about the public URL.

use super::Validator;
use crate::config::{
    fault::FaultKind,
    raw::{Located, Location},
};
use crate::routes::{Trust, TrustFault};

impl Validator<'_> {
    pub(super) fn trust(&mut self) -> Option<Trust> {
        let raw = self.raw.trust.as_ref()?;
        let mut trust = Trust::default();
        let (proxies, hosts) = (raw.value.proxies.as_ref(), raw.value.hosts.as_ref());
        self.each(&raw.place, proxies, "trust.proxies", |text| trust.add_proxy(text));
        self.each(&raw.place, hosts, "trust.hosts", |text| trust.add_host(text));
        Some(trust)
    }

    /// Adds every entry of a list that must not be empty.
    fn each(
        &mut self,
        table: &Location,
        list: Option<&Located<Vec<Located<String>>>>,
        key: &'static str,
        mut add: impl FnMut(&str) -> Result<(), TrustFault>,
    ) {
        let Some(list) = list else { return self.missing(table, key) };
        if list.value.is_empty() {
            self.fault(&list.place, key, FaultKind::NobodyTrusted);
        }
        for entry in &list.value {
            self.record_err(&entry.place, key, add(&entry.value), FaultKind::Trust);
        }
    }
}
