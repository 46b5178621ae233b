//! How the body of a request is cut into what has to come whole: one value, or the messages of a gRPC call. Decides, and
//! waits for nothing.

use bytes::Buf as _;

/// A flag, and the length of the message in 4 bytes.
const GRPC_HEAD: usize = 5;

/// How a body is cut into what counts as one.
pub enum Messages {
    /// It is one.
    One,
    /// gRPC's messages: a flag, the length in 4 bytes, and the message.
    Many { head: Vec<u8>, rest: usize, come: usize },
}

impl Messages {
    /// Whether a body is gRPC's, its content type says.
    pub fn of(content_type: &[u8]) -> Messages {
        if content_type.starts_with(b"application/grpc") {
            Messages::Many { head: Vec::with_capacity(GRPC_HEAD), rest: 0, come: 0 }
        } else {
            Messages::One
        }
    }

    /// More has come, after so many bytes that are held. Gives how many are held now.
    pub fn pass(&mut self, held: usize, mut data: &[u8]) -> usize {
        let Messages::Many { head, rest, come } = self else { return held + data.len() };
        while !data.is_empty() {
            if head.len() < GRPC_HEAD {
                let more = data.len().min(GRPC_HEAD - head.len());
                head.extend_from_slice(&data[..more]);
                data.advance(more);
                *come += more;
                if let [_, length @ ..] = &head[..]
                    && let Ok(length) = length.try_into()
                {
                    *rest = u32::from_be_bytes(length) as usize;
                }
            }
            if head.len() == GRPC_HEAD {
                let more = data.len().min(*rest);
                data.advance(more);
                (*rest, *come) = (*rest - more, *come + more);
                if *rest == 0 {
                    head.clear();
                    *come = 0;
                }
            }
        }
        *come
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_held_until_it_is_over_and_a_message_until_it_is_whole() {
        let mut one = Messages::of(b"application/json");
        assert_eq!((one.pass(0, b"abc"), one.pass(3, b"de")), (3, 5));
        // Two messages of 3 and 300 bytes and an empty one, in pieces of every size.
        let mut bytes = vec![0, 0, 0, 0, 3, 1, 2, 3, 1, 0, 0, 1, 44];
        bytes.extend([7; 300]);
        bytes.extend([0; 5]);
        let ends = [8, 313, 318];
        for piece in 1..bytes.len() {
            let (mut many, mut held, mut come) = (Messages::of(b"application/grpc+proto"), 0, 0);
            for data in bytes.chunks(piece) {
                held = many.pass(held, data);
                come += data.len();
                let begins = ends.iter().copied().filter(|end| *end <= come).max().unwrap_or(0);
                assert_eq!(held, come - begins, "{come} in pieces of {piece}");
            }
        }
    }
}
