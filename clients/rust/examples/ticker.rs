//! Prices that change faster than they are read: a reader with the policy `latest` gets the newest
//! of each key, and is told how many gave way.
//!
//! ```console
//! $ corewire serve
//! $ cargo run -p corewire-client --example ticker
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use corewire_client::{Client, Data, Event, Options, PolicyMode, Window};
use serde::Serialize;

#[derive(Serialize)]
struct Price {
    symbol: &'static str,
    cents: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("ws://127.0.0.1:9001/ws");

    // A small window, so that little waits here that is old already.
    let window = Window {
        topic_messages: 4,
        ..Window::default()
    };
    let options = Options {
        window,
        ..Options::new(url)
    };
    let reader = Client::connect(url).options(options).await?;
    let mut prices = reader
        .subscribe("ticker.stocks")
        .mode(PolicyMode::Latest)
        .await?;

    let writer = Client::connect(url).await?;
    let publishing = tokio::spawn(async move {
        for tick in 0..1000_u64 {
            for (number, symbol) in (1..).zip(["ACME", "WIRE", "CORE"]) {
                let cents = 10_000 + tick * number;
                let price = Data::json(&Price { symbol, cents })?;
                writer.publish("ticker.stocks", price).key(symbol).await?;
            }
        }
        writer.close().await;
        Ok::<(), Box<dyn Error + Send + Sync>>(())
    });

    // A person reads five lines a second; nothing new for a second is the end.
    let pause = Duration::from_millis(200);
    while let Ok(event) = tokio::time::timeout(5 * pause, prices.next_event()).await {
        match event {
            Some(Event::Message(price)) => {
                writeln!(io::stdout(), "{}", price.data)?;
                tokio::time::sleep(pause).await;
            }
            Some(Event::Conflated(left_out)) => {
                writeln!(io::stdout(), "({} older prices gave way)", left_out.count)?;
            }
            Some(other) => writeln!(io::stdout(), "({other:?})")?,
            None => break,
        }
    }
    publishing.await?.map_err(|error| error as Box<dyn Error>)?;
    reader.close().await;
    Ok(())
}
