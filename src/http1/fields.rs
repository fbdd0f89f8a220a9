//! The field lines of a head.

use bytes::Bytes;

use super::FieldName;

/// The lines of a head in their order, each name as it is raw_name.
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

/// One line, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'f> {
    /// Its name.
    pub name: FieldName,
    /// Its name as it is raw_name.
    pub raw_name: &'f [u8],
    /// Its value, without the white space around it.
    pub value: &'f [u8],
}

/// From where to where in the head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByteRange {
    start: usize,
    end: usize,
}

impl ByteRange {
    /// Where `part` lies, which is a part of `whole`.
    pub(super) fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Self { start, end: start.saturating_add(part.len()) }
    }

    pub(super) fn read(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

impl FieldLine {
    fn read<'f>(&self, bytes: &'f [u8]) -> Field<'f> {
        Field {
            name: self.name,
            raw_name: self.raw_name.read(bytes),
            value: self.value.read(bytes),
        }
    }

    /// Where it stands, if it stands there as it would be written.
    fn as_written(&self, bytes: &[u8]) -> Option<ByteRange> {
        let between = bytes.get(self.raw_name.end..self.value.start)?;
        let behind = bytes.get(self.value.end..)?;
        let end = self.value.end.saturating_add(2);
        (between == b": " && behind.starts_with(b"\r\n"))
            .then_some(ByteRange { start: self.raw_name.start, end })
    }
}

/// Appends one line.
pub fn write(name: &[u8], value: &[u8], to: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        to.extend_from_slice(part);
    }
}

impl Fields {
    /// Those that httparse has from_httparse in this head.
    pub(super) fn from_httparse(
        bytes: Bytes,
        headers: &[httparse::Header<'_>],
        whole: &[u8],
    ) -> Self {
        let line = |header: &httparse::Header<'_>| FieldLine {
            name: FieldName::of(header.name.as_bytes()),
            raw_name: ByteRange::of(header.name.as_bytes(), whole),
            value: ByteRange::of(header.value, whole),
        };
        let lines = headers.iter().map(line).collect();
        Self { bytes, lines }
    }

    /// Those of a message that did not come over HTTP/1.1; `first` stands before them.
    pub(super) fn from_parts<'f>(
        first: &[u8],
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    ) -> Self {
        let mut bytes = first.to_vec();
        let mut lines = Vec::new();
        for (name, value) in fields {
            let mut put = |text: &[u8], after: &[u8]| {
                let start = bytes.len();
                bytes.extend_from_slice(text);
                let place = ByteRange { start, end: bytes.len() };
                bytes.extend_from_slice(after);
                place
            };
            let (raw_name, value) = (put(name, b": "), put(value, b"\r\n"));
            lines.push(FieldLine { name: FieldName::of(name), raw_name, value });
        }
        Self { bytes: bytes.into(), lines }
    }

    /// Each line.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| line.read(&self.bytes))
    }

    /// Appends those that pass, each as `name: value` and its end. What came like this, and in a
    /// row, is copied at once.
    pub fn write(&self, passes: impl Fn(&Field<'_>) -> bool, to: &mut Vec<u8>) {
        let mut row = ByteRange::default();
        for line in &self.lines {
            let field = line.read(&self.bytes);
            if !passes(&field) {
                continue;
            }
            match line.as_written(&self.bytes) {
                Some(next) if next.start == row.end => row.end = next.end,
                next => {
                    to.extend_from_slice(row.read(&self.bytes));
                    row = next.unwrap_or_default();
                    if next.is_none() {
                        write(field.raw_name, field.value, to);
                    }
                }
            }
        }
        to.extend_from_slice(row.read(&self.bytes));
    }

    /// How many bytes are written of them at most: a line may lack a space, and a CR.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len().saturating_add(self.lines.len().saturating_mul(2))
    }

    /// The values of the lines of this name.
    pub fn all(&self, name: FieldName) -> impl Iterator<Item = &[u8]> {
        let named = self.lines.iter().filter(move |line| line.name == name);
        named.map(|line| line.value.read(&self.bytes))
    }

    /// The first of them.
    #[must_use]
    pub fn get(&self, name: FieldName) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Whether there is one.
    #[must_use]
    pub fn contains(&self, name: FieldName) -> bool {
        self.lines.iter().any(|line| line.name == name)
    }

    /// The elements of the lists that all lines of this name are together (RFC 9110 §5.6.1).
    pub fn elements(&self, name: FieldName) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
    }

    /// Whether one of these elements is this token.
    #[must_use]
    pub fn lists(&self, name: FieldName, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Leaves so many lines of this name.
    pub(super) fn retain_first(&mut self, name: FieldName, most: usize) {
        let mut left = most;
        self.lines.retain(|line| {
            let stays = line.name != name || left > 0;
            if line.name == name {
                left = left.saturating_sub(1);
            }
            stays
        });
    }
}

/// Never a value: a signature is one.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.iter().map(|field| String::from_utf8_lossy(field.raw_name));
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadScanner, RequestHead};

    #[test]
    fn what_passes_is_written_line_by_line_whatever_stood_around_it() {
        let text = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC:3\r\nD: 4 \r\nE:  5\r\nF:\r\nG: \r\nH: 8\r\nI: 9\r\n\r\n";
        let head = RequestHead::parse(&mut text.into(), &mut HeadScanner::default(), 8192, 100);
        let fields = head.unwrap().unwrap().fields;
        let told =
            Fields::from_parts(b"", fields.iter().map(|field| (field.raw_name, field.value)));
        for without in ["", "A", "AB", "BH", "CDEF", "ABCDEFGH", "I", "ABCDEFGHI"] {
            let passes = |field: &Field<'_>| !without.as_bytes().contains(&field.raw_name[0]);
            let mut expected = Vec::new();
            for field in fields.iter().filter(passes) {
                write(field.raw_name, field.value, &mut expected);
            }
            for fields in [&fields, &told] {
                let mut text = Vec::new();
                fields.write(passes, &mut text);
                assert_eq!(text, expected, "without {without:?}");
                assert!(text.len() <= fields.size());
            }
        }
    }
}
