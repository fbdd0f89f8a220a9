//! Loads tokens. Only this module and `cli` read the environment.

use std::{
    borrow::Cow,
    env, fmt, fs, io,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A token. `Debug` hides it; the memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Copies the text unchanged.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The token's bytes, for keying a MAC.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads an environment variable, without a trailing line break.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not set, `InvalidData` when it is not UTF-8.
    pub fn from_env(name: &str) -> io::Result<Self> {
        match env::var(name) {
            Ok(text) => Ok(Self::trimmed(text)),
            Err(env::VarError::NotPresent) => Err(io::ErrorKind::NotFound.into()),
            Err(env::VarError::NotUnicode(_)) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Reads a file, without a trailing line break.
    ///
    /// # Errors
    /// When the file cannot be read or is not UTF-8.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        fs::read_to_string(path).map(Self::trimmed)
    }

    /// Returns the path of a systemd credential (`LoadCredential=`, systemd.exec(5)).
    ///
    /// # Errors
    /// `NotFound` when there is no credentials directory.
    pub fn credential_path(name: &str) -> io::Result<PathBuf> {
        let directory = env::var_os("CREDENTIALS_DIRECTORY").ok_or(io::ErrorKind::NotFound)?;
        Ok(Path::new(&directory).join(name))
    }

    /// Strips the line break that editors and `echo` append.
    fn trimmed(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self::new(text.trim_end_matches(['\r', '\n']))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
