//! What is on its way on a connection of HTTP/2 (RFC 9113, section 4.1): [`Frames`] follows its frames, so that a head that
//! never ends has a deadline too.

/// The length of a frame's own head.
const HEAD: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Follows the frames that a client sends after the preface.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// How much of the head was read.
    read: usize,
    /// How much of the payload was not.
    left: usize,
    /// Whether the headers of a request have begun and not ended.
    headers_open: bool,
}

impl Frames {
    /// Reads on: `true` in the middle of headers, or of a frame other than of a body.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.left == 0 {
                bytes = self.read_head(bytes);
            }
        }
        let in_frame = self.read > 0 || (self.left > 0 && self.kind() != DATA);
        in_frame || self.headers_open
    }

    /// Reads what there is of a frame's head, and returns the rest.
    fn read_head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let count = bytes.len().min(HEAD - self.read);
        let (head, rest) = bytes.split_at_checked(count).unwrap_or_default();
        let place = self.head.get_mut(self.read..self.read + count);
        place.into_iter().for_each(|place| place.copy_from_slice(head));
        self.read += count;
        if self.read == HEAD {
            self.read = 0;
            let [a, b, c, kind, flags, ..] = self.head;
            self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if matches!(kind, HEADERS | CONTINUATION) {
                self.headers_open = flags & END_HEADERS == 0;
            }
        }
        rest
    }

    fn kind(&self) -> u8 {
        let [_, _, _, kind, ..] = self.head;
        kind
    }
}
