//! Parameters in the order in which they are signed.

use std::cmp::Ordering;

use smallvec::SmallVec;

use super::{BLOCK, INLINE_PARAMS, Parameter, Parameters, Span, Tail};

/// In which order names are appended to the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// By byte: Twilio's documentation ("Unix-style"), Python, Go, Ruby, PHP.
    Bytes,
    /// By UTF-16 code unit: Node, Java, .NET. Differs only where a character above U+FFFF meets
    /// one in U+E000..U+FFFF.
    Utf16,
}

impl Parameters {
    /// Every name followed by its value; sorted by name, then by value, exact repeats once.
    #[must_use]
    pub fn sorted(&self, order: Order) -> Vec<u8> {
        let mut tail = Tail::new();
        self.sort_into(&mut tail, order);
        tail.to_vec()
    }

    /// The same, into an empty tail.
    pub(in crate::signature) fn sort_into(&self, tail: &mut Tail, order: Order) {
        let mut keys = Keys::new();
        let places = self.sort_keys(&mut keys, order);
        tail.extend_from_slice(&self.text); // which is at least as long
        let (text, list, to) = (&self.text[..], &self.list[..], &mut tail[..]);
        let mut written = 0;
        let mut last: Option<&Parameter> = None;
        for parameter in keys.iter().filter_map(|key| at(list, key & places)) {
            if last.is_none_or(|last| !last.repeats(parameter, text)) {
                written = parameter.name.copy(text, to, written);
                written = parameter.value.copy(text, to, written);
            }
            last = Some(parameter);
        }
        tail.truncate(written);
    }

    /// Sorts one number for each parameter: the beginning of its name, and in the lowest bits its
    /// place in the list. What begins alike is compared whole. Returns the mask of those bits.
    fn sort_keys(&self, keys: &mut Keys, order: Order) -> u64 {
        let count = u64::try_from(self.list.len()).unwrap_or(u64::MAX);
        match order {
            Order::Bytes => {
                let places = u64::MAX.checked_shr(count.leading_zeros()).unwrap_or(0);
                self.sort_keys_by(keys, places, cmp_bytes)
            }
            Order::Utf16 => self.sort_keys_by(keys, u64::MAX, cmp_utf16),
        }
    }

    fn sort_keys_by(&self, keys: &mut Keys, places: u64, compare: impl Compare) -> u64 {
        let (text, list) = (&self.text[..], &self.list[..]);
        keys.extend(list.iter().zip(0..).map(|(p, place)| p.prefix & !places | place));
        keys.sort_unstable();
        for alike in keys.chunk_by_mut(|left, right| (left ^ right) & !places == 0) {
            if alike.len() > 1 {
                alike.sort_unstable_by(|left, right| {
                    match (at(list, left & places), at(list, right & places)) {
                        (Some(left), Some(right)) => left.compare(right, text, &compare),
                        _ => Ordering::Equal,
                    }
                });
            }
        }
        places
    }

    /// Whether the two orders could differ at all.
    pub(in crate::signature) fn has_astral(&self) -> bool {
        self.text.iter().copied().fold(0, u8::max) >= 0xF0
    }
}

type Keys = SmallVec<[u64; INLINE_PARAMS]>;

fn at(list: &[Parameter], place: u64) -> Option<&Parameter> {
    list.get(usize::try_from(place).ok()?)
}

impl Parameter {
    fn repeats(&self, other: &Self, text: &[u8]) -> bool {
        self.prefix == other.prefix && self.compare(other, text, cmp_bytes).is_eq()
    }

    fn compare(&self, other: &Self, text: &[u8], compare: impl Compare) -> Ordering {
        let names = compare(self.name.of(text), other.name.of(text));
        names.then_with(|| compare(self.value.of(text), other.value.of(text)))
    }
}

impl Span {
    /// Copies its text to this place, and returns the next one.
    fn copy(self, text: &[u8], tail: &mut [u8], at: usize) -> usize {
        let part = self.of(text);
        let end = at.wrapping_add(part.len());
        if let Some(slot) = tail.get_mut(at..end) {
            slot.copy_from_slice(part);
        }
        end
    }
}

trait Compare: Fn(&[u8], &[u8]) -> Ordering {}
impl<F: Fn(&[u8], &[u8]) -> Ordering> Compare for F {}

fn cmp_bytes(left: &[u8], right: &[u8]) -> Ordering {
    left.cmp(right)
}

fn cmp_utf16(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |bytes: &[u8], at: usize| bytes.get(at).copied().map(utf16_rank);
    let same = common_prefix_len(left, right);
    rank(left, same).cmp(&rank(right, same))
}

/// How many bytes two texts share at their beginning, a block at a time.
fn common_prefix_len(left: &[u8], right: &[u8]) -> usize {
    let blocks = left.as_chunks::<BLOCK>().0.iter().zip(right.as_chunks::<BLOCK>().0);
    let blocks = blocks.take_while(|(left, right)| left == right).count();
    let skipped = blocks.saturating_mul(BLOCK);
    let rest = left.iter().zip(right).skip(skipped).take_while(|(left, right)| left == right);
    skipped.saturating_add(rest.count())
}

/// Puts the lead bytes of U+E000..U+FFFF after those of the astral planes, as UTF-16 does.
/// A permutation, so the result is a total order on any bytes.
const fn utf16_rank(byte: u8) -> u8 {
    match byte {
        0xEE | 0xEF => byte.saturating_add(0x10),
        0xF0..=0xFF => byte.saturating_sub(2),
        _ => byte,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{super::tests::sorted, *};

    #[test]
    fn repeats_are_sorted_and_exact_ones_dropped() {
        assert_eq!(sorted("k=2&k=1&k=2&a="), "ak1k2");
        assert_eq!(sorted("k=%61&k=a"), "ka");
        assert_eq!(sorted("a%00=1&a=2"), "a2a\u{0}1");
        assert_eq!(sorted("abcdefghj=1&abcdefghi=2"), "abcdefghi2abcdefghj1");
    }

    #[test]
    fn the_two_orders_differ_where_astral_meets_high_bmp() {
        let form = "%EF%BC%A1=bmp&%F0%9F%98%80=astral"; // U+FF21, U+1F600
        let parameters = Parameters::parse(form.as_bytes());
        assert!(parameters.has_astral());
        assert_eq!(&parameters.sorted(Order::Bytes)[..], "Ａbmp😀astral".as_bytes());
        assert_eq!(&parameters.sorted(Order::Utf16)[..], "😀astralＡbmp".as_bytes());
    }

    #[test]
    fn what_begins_alike_is_told_apart_in_both_orders() {
        for length in [1, 63, 64, 65, 127, 128, 200] {
            let alike = "x".repeat(length);
            let parameters =
                Parameters::parse(format!("{alike}%EF%BC%A1=1&{alike}%F0%9F%98%80=2").as_bytes());
            let tail = |first: &str, second: &str| [&*alike, first, &alike, second].concat();
            assert_eq!(parameters.sorted(Order::Bytes), tail("Ａ1", "😀2").as_bytes());
            assert_eq!(parameters.sorted(Order::Utf16), tail("😀2", "Ａ1").as_bytes());
        }
    }

    /// Sorted forms of one size: in how many comparisons of whole names and values.
    fn comparisons(form: &[u8], order: Order) -> usize {
        let count = Cell::new(0_usize);
        let parameters = Parameters::parse(form);
        let counted = |left: &[u8], right: &[u8]| {
            count.set(count.get().saturating_add(1));
            if order == Order::Bytes { cmp_bytes(left, right) } else { cmp_utf16(left, right) }
        };
        let places = if order == Order::Bytes { 0xF_FFFF } else { u64::MAX };
        parameters.sort_keys_by(&mut Keys::new(), places, counted);
        count.get()
    }

    #[test]
    fn a_hostile_form_is_sorted_in_n_log_n() {
        const SIZE: usize = 256 << 10;
        let filled = |each: &dyn Fn(usize) -> String| -> Vec<u8> {
            (0..).flat_map(|i| each(i).into_bytes()).take(SIZE).collect()
        };
        let shuffled = |i: usize| i.wrapping_mul(2_654_435_761) % 1_000_003;
        for form in [
            filled(&|_| "a&".into()),
            filled(&|i| format!("{:x}&", shuffled(i))),
            filled(&|i| format!("=%{:02x}&", i % 256)),
            filled(&|i| format!("{}{:06}&", "ConferenceStatus".repeat(4), shuffled(i))),
            filled(&|i| format!("name={}{:06}&", "x".repeat(64), shuffled(i))),
            filled(&|i| format!("%F0%9F%98%80{:06}=&", 1_000_000_usize.saturating_sub(i))),
            filled(&|i| format!("organpipe{}&", i.min(20_000_usize.saturating_sub(i)))),
        ] {
            let n = form.split(|&byte| byte == b'&').count();
            let log = usize::try_from(n.ilog2()).unwrap().saturating_add(1);
            for order in [Order::Bytes, Order::Utf16] {
                let most = n.saturating_mul(log).saturating_mul(4); // names and values, each twice
                let made = comparisons(&form, order);
                assert!(made <= most, "{order:?} {n}: {made} > {most}");
            }
        }
    }

    #[test]
    fn the_utf16_rank_is_a_permutation() {
        let mut ranks: Vec<u8> = (0..=255).map(utf16_rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..=255).collect::<Vec<u8>>());
    }
}
