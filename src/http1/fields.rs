//! The field lines of a head.

use bytes::Bytes;

use super::FieldName;

/// The field lines of a head in their order, each with its name as received.
#[derive(Clone)]
pub struct Fields {
    /// The whole head.
    pub(super) bytes: Bytes,
    lines: Vec<FieldLine>,
}

#[derive(Clone, Copy)]
struct FieldLine {
    name: FieldName,
    raw_name: ByteRange,
    value: ByteRange,
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'f> {
    /// The name, if it is one that is inspected.
    pub name: FieldName,
    /// The name as received.
    pub raw_name: &'f [u8],
    /// The value, without the white space around it.
    pub value: &'f [u8],
}

/// A range of bytes in a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByteRange {
    start: usize,
    end: usize,
}

impl ByteRange {
    /// Returns the range of `part`, which must be a subslice of `whole`.
    ///
    /// By address, as httparse returns slices and not offsets; a foreign slice would silently yield
    /// a wrong range, hence the assertion.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        debug_assert!(whole.as_ptr_range().contains(&part.as_ptr()) || part.is_empty());
        let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Self { start, end: start.saturating_add(part.len()) }
    }

    pub(super) fn slice(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl FieldLine {
    fn slice<'f>(&self, bytes: &'f [u8]) -> Field<'f> {
        Field {
            name: self.name,
            raw_name: self.raw_name.slice(bytes),
            value: self.value.slice(bytes),
        }
    }
}

/// Appends one field line.
pub fn write(name: &[u8], value: &[u8], to: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        to.extend_from_slice(part);
    }
}

impl Fields {
    /// Builds the fields that httparse found in `whole`.
    pub(super) fn from_httparse(
        bytes: Bytes,
        headers: &[httparse::Header<'_>],
        whole: &[u8],
    ) -> Self {
        let line = |header: &httparse::Header<'_>| FieldLine {
            name: FieldName::parse(header.name.as_bytes()),
            raw_name: ByteRange::of(header.name.as_bytes(), whole),
            value: ByteRange::of(header.value, whole),
        };
        let lines = headers.iter().map(line).collect();
        Self { bytes, lines }
    }

    /// Builds the fields of a message that was not received as HTTP/1.1; `first_line` precedes them.
    pub(super) fn from_parts<'f>(
        first_line: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Self {
        let mut bytes = first_line.to_vec();
        let mut lines = Vec::new();
        for (name, value) in fields {
            let mut append = |text: &[u8], after: &[u8]| {
                let start = bytes.len();
                bytes.extend_from_slice(text);
                let range = ByteRange { start, end: bytes.len() };
                bytes.extend_from_slice(after);
                range
            };
            let (raw_name, value) = (append(name, b": "), append(value, b"\r\n"));
            lines.push(FieldLine { name: FieldName::parse(name), raw_name, value });
        }
        Self { bytes: bytes.into(), lines }
    }

    /// Iterates over the field lines.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| line.slice(&self.bytes))
    }

    /// Returns the number of field lines.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns whether there is no field line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the size of the whole head, in bytes.
    #[must_use]
    pub const fn head_size(&self) -> usize {
        self.bytes.len()
    }

    /// Iterates over the values of the lines with this name.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &[u8]> {
        let named = self.lines.iter().filter(move |line| line.name == name);
        named.map(|line| line.value.slice(&self.bytes))
    }

    /// Iterates over the values of the lines with a name that need not be an inspected one, in any
    /// case.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is = move |field: &Field<'_>| field.raw_name.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(is).map(|field| field.value)
    }

    /// Returns the value of the first line with this name.
    #[must_use]
    pub fn get(&self, name: FieldName) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Returns whether a line has this name.
    #[must_use]
    pub fn contains(&self, name: FieldName) -> bool {
        self.lines.iter().any(|line| line.name == name)
    }

    /// Iterates over the elements of the list that all lines with this name form together
    /// (RFC 9110 §5.6.1).
    pub fn elements(&self, name: FieldName) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
    }

    /// Returns whether one of these elements is this token, compared without regard to case.
    #[must_use]
    pub fn lists(&self, name: FieldName, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Keeps the first `count` lines with this name and removes the others.
    pub(super) fn retain_first(&mut self, name: FieldName, count: usize) {
        let mut left = count;
        self.lines.retain(|line| {
            let keep = line.name != name || left > 0;
            if line.name == name {
                left = left.saturating_sub(1);
            }
            keep
        });
    }
}

/// Shows names only: a signature is a value.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.iter().map(|field| String::from_utf8_lossy(field.raw_name));
        f.debug_list().entries(names).finish()
    }
}
