//! A chat in a terminal: what you type goes to the room, what others type comes from it.
//!
//! ```console
//! $ corewire serve --anonymous-names
//! $ cargo run -p corewire-client --example chat -- ann room1
//! ```

use std::error::Error;
use std::io::{self, BufRead, Write};

use corewire_client::{Client, Event};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: chat NAME [ROOM] [URL]")?;
    let room = arguments.next().unwrap_or_else(|| "room1".to_owned());
    let url = arguments.next();
    let url = url.as_deref().unwrap_or("ws://127.0.0.1:9001/ws");

    let topic = format!("chat.{room}");
    let client = Client::connect(url).user(&name).await?;
    let mut messages = client.subscribe(&topic).last(20).await?;
    let mut lines = lines();
    loop {
        tokio::select! {
            event = messages.next_event() => match event {
                Some(Event::Message(message)) => {
                    say(&format!("{}: {}", message.publisher.user, message.data))?;
                }
                Some(Event::Gap(gap)) => say(&format!("({} messages are missing)", gap.count()))?,
                Some(Event::Reset(_)) => say("(there may have been messages meanwhile)")?,
                Some(Event::Unsubscribed(why)) => return Err(why.into()),
                Some(_) => {}
                None => break,
            },
            line = lines.recv() => match line {
                Some(line) => {
                    // What was said stands here already.
                    client.publish(&topic, line).no_echo().await?;
                }
                None => break,
            },
        }
    }
    client.close().await;
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Lines from the terminal, by a thread of their own: reading blocks.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
