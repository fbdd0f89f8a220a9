//! `accounts_file`: the tokens of many subaccounts.

use std::{path::Path, sync::Arc};

use super::{
    Validator,
    keys::{MAX_TOKENS, is_account_sid},
};
use crate::config::{
    fault::{FaultKind, Faults, MAX_FAULTS},
    raw::{Located, RawConfig, RawToken},
    read::{self, RawAccount},
    secret::Secret,
    source_file::{SourceFile, read_text},
};
use crate::signature::{Accounts, Algorithm, Key, ProbeKey};

impl Validator<'_> {
    /// Loads the accounts file; its faults are reported with its own name and lines.
    pub(super) fn load_accounts(&mut self) -> Option<Arc<Accounts>> {
        let written = self.raw.accounts_file.as_ref()?;
        let path = self.resolve_file(&written.value);
        let text = read_text(&path);
        let text = self.record_err(&written.location, "accounts_file", text, |error| {
            FaultKind::Accounts(path.clone(), error)
        })?;
        let raw = RawConfig::default();
        let name = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new("."));
        let source = SourceFile { name: &name, file: Some(&path), text: &text, folder };
        let (accounts, faults) = self.read_accounts(&raw, source);
        if !faults.list.is_empty() {
            self.accounts_faults = Some(faults);
        } else if accounts.is_empty() {
            self.record_fault(&written.location, "accounts_file", FaultKind::NoAccount);
        }
        Some(Arc::new(accounts))
    }

    fn read_accounts(&mut self, raw: &RawConfig, source: SourceFile<'_>) -> (Accounts, Faults) {
        let (written, faults) = read::read_accounts(source.text);
        let keeps_odd_tokens = self.keeps_odd_tokens;
        let mut inner =
            Validator { faults, keeps_odd_tokens, ..Validator::new(raw, source, "accounts") };
        let mut accounts = Accounts::default();
        for account in written {
            if inner.faults.len() >= MAX_FAULTS {
                break;
            }
            inner.load_account(&account, &mut accounts);
        }
        inner.warn_of_inline_tokens();
        self.watched.append(&mut inner.watched);
        self.warnings.append(&mut inner.warnings);
        self.probes.append(&mut inner.probes);
        (accounts, Faults::new(source.name, source.text, inner.faults))
    }

    fn load_account(
        &mut self,
        RawAccount { sid, location, tokens }: &RawAccount,
        into: &mut Accounts,
    ) {
        if !is_account_sid(&sid.value) {
            self.record_fault(&sid.location, "accounts", FaultKind::AccountSid);
        }
        let count = tokens.len();
        if count == 0 {
            self.record_fault(location, "accounts", FaultKind::NoToken);
        }
        if count > MAX_TOKENS {
            self.record_fault(location, "accounts", FaultKind::TooManyTokens(MAX_TOKENS));
        }
        for (index, token) in tokens.iter().enumerate() {
            let number = if count > 1 { format!("[{index}]") } else { String::new() };
            let name = format!("accounts:{}{number}", sid.value);
            if let Some((key, probe)) = self.load_account_key(token, &name) {
                self.probes.extend(probe.map(|probe| probe.for_account(&sid.value)));
                into.insert(&sid.value, key);
            }
        }
    }

    fn load_account_key(
        &mut self,
        token: &Located<RawToken>,
        default: &str,
    ) -> Option<(Key, Option<ProbeKey>)> {
        let probed = |key: Key, secret: &Secret| {
            let probe = ProbeKey::new(&key, secret.bytes(), Algorithm::HmacSha1).ok();
            (key, probe)
        };
        let source = match &token.value {
            RawToken::Inline(secret) => {
                self.warn_of_inline(&token.location, secret);
                let key = self.make_key(&token.location, default, secret, Algorithm::HmacSha1)?;
                return Some(probed(key, secret));
            }
            RawToken::Source(source) => source,
        };
        if source.key_id.is_some() || source.algorithm.is_some() || source.account_sid.is_some() {
            self.record_fault(&token.location, "accounts", FaultKind::AccountTokenSelector);
            return None;
        }
        let (_, secret) = self.load_secret(&token.location, source, default)?;
        self.warn_of_source(&token.location, source, &secret);
        let name = source.name.as_ref().map_or(default, |name| &name.value);
        let key = self.make_key(&token.location, name, &secret, Algorithm::HmacSha1)?;
        Some(probed(key, &secret))
    }
}
