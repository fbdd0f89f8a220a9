//! `accounts_file`: the tokens of many subaccounts.

use std::{path::Path, sync::Arc};

use super::{
    Validator,
    keys::{MAX_TOKENS, is_account_sid},
};
use crate::config::{
    RawConfig, SourceFile,
    fault::{FaultKind, Faults, MAX_FAULTS},
    raw::{Located, RawToken},
    read::{self, RawAccount},
    read_text,
};
use crate::signature::{Accounts, Algorithm, Key};

impl Validator<'_> {
    /// Reads the file that is named, as a sheet of its own with faults of its own.
    pub(super) fn accounts(&mut self) -> Option<Arc<Accounts>> {
        let written = self.raw.accounts_file.as_ref()?;
        let path = self.file(&written.value);
        let text = read_text(&path);
        let text = self.record_err(&written.place, "accounts_file", text, |error| {
            FaultKind::Accounts(path.clone(), error)
        })?;
        let raw = RawConfig::default();
        let name = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new("."));
        let sheet = SourceFile { name: &name, file: Some(&path), text: &text, folder };
        let (accounts, faults) = self.accounts_of(&raw, sheet);
        if !faults.list.is_empty() {
            self.elsewhere = Some(faults);
        } else if accounts.is_empty() {
            self.fault(&written.place, "accounts_file", FaultKind::NoAccount);
        }
        Some(Arc::new(accounts))
    }

    fn accounts_of(&mut self, raw: &RawConfig, sheet: SourceFile<'_>) -> (Accounts, Faults) {
        let (written, faults) = read::accounts(sheet.text);
        let mut inner = Validator { faults, ..Validator::new(raw, sheet, "accounts") };
        let mut accounts = Accounts::default();
        for account in written {
            if inner.faults.len() >= MAX_FAULTS {
                break;
            }
            inner.account(&account, &mut accounts);
        }
        inner.warn_of_literals();
        self.watched.append(&mut inner.watched);
        self.warnings.append(&mut inner.warnings);
        (accounts, Faults::new(sheet.name, sheet.text, inner.faults))
    }

    fn account(&mut self, RawAccount { sid, place, tokens }: &RawAccount, into: &mut Accounts) {
        if !is_account_sid(&sid.value) {
            self.fault(&sid.place, "accounts", FaultKind::AccountSid);
        }
        let count = tokens.len();
        if count == 0 {
            self.fault(place, "accounts", FaultKind::NoToken);
        }
        if count > MAX_TOKENS {
            self.fault(place, "accounts", FaultKind::TooManyTokens(MAX_TOKENS));
        }
        for (index, token) in tokens.iter().enumerate() {
            let number = if count > 1 { format!("[{index}]") } else { String::new() };
            let name = format!("accounts:{}{number}", sid.value);
            if let Some(key) = self.account_key(token, &name) {
                into.insert(&sid.value, key);
            }
        }
    }

    fn account_key(&mut self, token: &Located<RawToken>, default: &str) -> Option<Key> {
        let source = match &token.value {
            RawToken::Inline(secret) => {
                self.warn_of_inline(&token.place, secret);
                return self.keyed(&token.place, default, secret, Algorithm::HmacSha1);
            }
            RawToken::Found(source) => source,
        };
        if source.key_id.is_some() || source.algorithm.is_some() || source.account_sid.is_some() {
            self.fault(&token.place, "accounts", FaultKind::BoundAlready);
            return None;
        }
        let (_, secret) = self.load_secret(&token.place, source, default)?;
        self.warn_of_found(&token.place, source, &secret);
        let name = source.name.as_ref().map_or(default, |name| &name.value);
        self.keyed(&token.place, name, &secret, Algorithm::HmacSha1)
    }
}
