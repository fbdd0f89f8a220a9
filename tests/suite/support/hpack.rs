//! An HPACK encoder that lets a test choose each representation (RFC 7541 §6).

/// Index of the newest entry of the dynamic table: the static table has 61 (RFC 7541 §2.3.3).
const NEWEST: usize = 62;

/// The largest dynamic table that a peer may use before anything else is agreed.
pub(crate) const TABLE_SIZE: usize = 4096;
/// What an entry counts besides its name and its value (RFC 7541 §4.1).
pub(crate) const ENTRY_OVERHEAD: usize = 32;

/// A header block in the making.
#[derive(Clone, Default)]
pub(crate) struct HeaderBlock(Vec<u8>);

impl HeaderBlock {
    /// Starts with `:method`, `:scheme: https` and `:path: /`, one byte each.
    pub(crate) fn request(method: &str) -> Self {
        let method = if method == "POST" { 3 } else { 2 };
        Self::default().indexed(method).indexed(7).indexed(4)
    }

    /// Adds a field of the static or the dynamic table.
    pub(crate) fn indexed(mut self, index: usize) -> Self {
        integer(0x80, 7, index, &mut self.0);
        self
    }

    /// Adds a field of the dynamic table, `count` times; 0 is the newest entry.
    pub(crate) fn repeated(self, age: usize, count: usize) -> Self {
        (0..count).fold(self, |block, _| block.indexed(NEWEST + age))
    }

    /// Adds a field and inserts it into the dynamic table.
    pub(crate) fn inserted(mut self, name: &str, value: &str) -> Self {
        self.0.push(0x40);
        self.text(name);
        self.text(value);
        self
    }

    /// Adds a field in full.
    pub(crate) fn literal(mut self, name: &str, value: &str) -> Self {
        self.0.push(0);
        self.text(name);
        self.text(value);
        self
    }

    fn text(&mut self, text: &str) {
        integer(0, 7, text.len(), &mut self.0);
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An integer behind the high bits of its first byte (RFC 7541 §5.1).
fn integer(pattern: u8, prefix: u32, value: usize, to: &mut Vec<u8>) {
    let most = (1 << prefix) - 1;
    if value < most {
        to.push(pattern | u8::try_from(value).unwrap());
        return;
    }
    to.push(pattern | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        to.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    to.push(u8::try_from(rest).unwrap());
}

#[test]
fn integers_are_encoded_as_in_the_rfc() {
    // RFC 7541, C.1.1 and C.1.2
    for (value, bytes) in [(10, &[0x0a][..]), (1337, &[0x1f, 0x9a, 0x0a])] {
        let mut encoded = Vec::new();
        integer(0, 5, value, &mut encoded);
        assert_eq!(encoded, bytes);
    }
}
