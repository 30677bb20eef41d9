//! A chat in a terminal: what you type goes to the room, what others type comes from it, and who comes,
//! goes and types is told. A line that ends with `\` goes on in the next one; the others see that you
//! type until it is complete.
//!
//! ```console
//! $ corewire serve --anonymous-names
//! $ cargo run -p corewire-client --example chat -- ann room1
//! ```

use std::error::Error;
use std::io::{self, BufRead, Write};

use corewire_client::{Change, Client, Event, Picture, Presence};
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
    let messages = client.subscribe(&topic).last(20);
    let mut messages = messages.presence(Presence::Both).watch("typing").await?;
    let (mut here, mut typing) = (messages.presence()?, messages.state("typing")?);
    let (mut were_here, mut were_typing) = (here.picture(), typing.picture());
    let mut lines = lines();
    let mut begun = String::new();
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
            Some(now) = here.changed() => {
                tell(&now, &were_here, &name, ["is here", "has left"])?;
                were_here = now;
            }
            Some(now) = typing.changed() => {
                tell(&now, &were_typing, &name, ["is typing …", "is not typing any more"])?;
                were_typing = now;
            }
            line = lines.recv() => match line.as_deref().map(|line| (line, line.strip_suffix('\\'))) {
                Some((_, Some(part))) => {
                    begun += part;
                    typing.set(())?;
                }
                Some((line, None)) => {
                    begun += line;
                    typing.clear();
                    // What was said stands here already.
                    client.publish(&topic, std::mem::take(&mut begun)).no_echo().await?;
                }
                None => break,
            },
        }
    }
    client.close().await;
    Ok(())
}

/// Tells who has come or begun, and who has gone or ended.
fn tell(now: &Picture, before: &Picture, own: &str, [came, left]: [&str; 2]) -> io::Result<()> {
    for change in now.since(before) {
        match change {
            Change::Came(entry) if *entry.user != *own => say(&format!("({} {came})", entry.user))?,
            // Others may be there by another connection.
            Change::Left(entry) if !now.has_user(&entry.user) => {
                say(&format!("({} {left})", entry.user))?;
            }
            Change::Came(_) | Change::Changed(_) | Change::Left(_) => {}
        }
    }
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
