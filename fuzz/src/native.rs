//! corewire's client protocol: any bytes as a message, to a server and to a client.

use corewire_protocol::native::{
    Batch, Command, Data, Dialect, Full, Push, Reply, Request, ServerWord,
};

/// A message is read, or refused with a text. What was read is the same after it was written in
/// either dialect, alone, and in one message with the others.
pub fn native(data: &[u8]) {
    for dialect in Dialect::ALL {
        let requests = good(
            dialect
                .requests(data)
                .map(|word| word.map_err(|bad| bad.text)),
        );
        let words = good(
            dialect
                .server_words(data)
                .map(|word| word.map_err(|bad| bad.text)),
        );
        for other in Dialect::ALL {
            client(other, &requests);
            server(other, &words);
        }
    }
}

/// What could be read.
fn good<W>(words: impl Iterator<Item = Result<W, impl AsRef<str>>>) -> Vec<W> {
    words
        .filter_map(|word| match word {
            Ok(word) => Some(word),
            Err(text) => {
                assert!(!text.as_ref().is_empty());
                None
            }
        })
        .collect()
}

fn client(dialect: Dialect, requests: &[Request<'_>]) {
    let mut all = Vec::new();
    let mut batch = Batch::new(dialect, usize::MAX, &mut all);
    let mut expected = Vec::new();
    for request in requests {
        let mut alone = Vec::new();
        dialect.write_request(request, &mut alone);
        assert_eq!(batch.request(request), Ok(()));
        let mut read = request.clone();
        if let Command::Publish(publish) = &mut read.command {
            as_json(dialect, &mut publish.data);
        } else if let Command::Hello(hello) = &mut read.command {
            // What cannot be read is not written, either.
            hello.subscribe.retain(Result::is_ok);
        }
        assert_eq!(
            dialect.requests(&alone).collect::<Vec<_>>(),
            [Ok(read.clone())]
        );
        expected.push(Ok(read));
    }
    // A batch without a word is no message.
    if !expected.is_empty() {
        assert_eq!(dialect.requests(&all).collect::<Vec<_>>(), expected);
    }
}

fn server(dialect: Dialect, words: &[ServerWord<'_>]) {
    let mut all = Vec::new();
    let mut batch = Batch::new(dialect, usize::MAX, &mut all);
    let mut expected = Vec::new();
    for word in words {
        let mut alone = Vec::new();
        match word {
            ServerWord::Reply(id, reply) => dialect.write_reply(*id, reply, &mut alone),
            ServerWord::Push(push) => dialect.write_push(push, &mut alone),
        }
        assert_eq!(batch.written(&alone), Ok::<(), Full>(()));
        let mut read = word.clone();
        match &mut read {
            ServerWord::Push(Push::Message(message)) => as_json(dialect, &mut message.data),
            ServerWord::Reply(_, Reply::Page(page)) => {
                for item in &mut page.items {
                    as_json(dialect, &mut item.data);
                }
            }
            ServerWord::Push(_) | ServerWord::Reply(..) => {}
        }
        assert_eq!(
            dialect.server_words(&alone).collect::<Vec<_>>(),
            [Ok(read.clone())]
        );
        expected.push(Ok(read));
    }
    if !expected.is_empty() {
        assert_eq!(dialect.server_words(&all).collect::<Vec<_>>(), expected);
    }
}

/// In JSON a text is JSON.
fn as_json(dialect: Dialect, data: &mut Data<'_>) {
    if dialect == Dialect::Json
        && let Data::Text(text) = data
    {
        *data = Data::Json(serde_json::to_string(text).unwrap().into());
    }
}
