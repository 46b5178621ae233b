//! Frames of HTTP/2 (RFC 9113) by hand, for clients that no library makes.

/// What a client sends, from the preface on.
pub struct Frames(pub Vec<u8>);

impl Frames {
    /// Beginning with the window that the client gives each answer, and as large a one as there is for all of them.
    pub fn begin(window: u32) -> Frames {
        let mut frames = Frames(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        // SETTINGS_INITIAL_WINDOW_SIZE.
        let [a, b, c, d] = window.to_be_bytes();
        frames.add(4, 0, 0, &[0, 4, a, b, c, d]);
        // WINDOW_UPDATE of the connection.
        frames.add(8, 0, 0, &0x7FFF_0000_u32.to_be_bytes());
        frames
    }

    pub fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        self.0.extend_from_slice(&[kind, flags]);
        self.0.extend_from_slice(&stream.to_be_bytes());
        self.0.extend_from_slice(payload);
    }

    /// A whole request without a body, HPACK (RFC 7541) without its tables.
    pub fn get(&mut self, stream: u32, path: &str) {
        let mut headers = vec![0x82, 0x86];
        text(&mut headers, &[0x01], "shoal");
        text(&mut headers, &[0x04], path);
        // END_STREAM and END_HEADERS.
        self.add(1, 0x5, stream, &headers);
    }

    /// A gRPC call with its one message; without it, a stream that says nothing.
    pub fn call(&mut self, stream: u32, path: &str, message: Option<&[u8]>) {
        let mut headers = vec![0x83, 0x86];
        text(&mut headers, &[0x01], "localhost");
        text(&mut headers, &[0x04], path);
        // `content-type` by its place in the static table.
        text(&mut headers, &[0x0F, 0x10], "application/grpc");
        self.add(1, 0x4, stream, &headers);
        if let Some(message) = message {
            let mut data = vec![0];
            data.extend_from_slice(&(message.len() as u32).to_be_bytes());
            data.extend_from_slice(message);
            // END_STREAM.
            self.add(0, 0x1, stream, &data);
        }
    }
}

fn text(headers: &mut Vec<u8>, name: &[u8], value: &str) {
    headers.extend_from_slice(name);
    assert!(value.len() < 127, "a length of one byte");
    headers.push(value.len() as u8);
    headers.extend_from_slice(value.as_bytes());
}
