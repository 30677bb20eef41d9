//! A WebSocket echo server: `cargo run --release --example echo`, then connect to
//! ws://127.0.0.1:9001.

use corewire::{Context, Core, Handler, Message, Response, Server, Service, UpgradeRequest};

struct Echo;

impl Service for Echo {
    type Handler = Self;

    fn handler(&self, _core: &Core) -> Self {
        Self
    }
}

impl Handler for Echo {
    type Session = ();
    type Mail = ();

    fn upgrade(&mut self, _request: &mut UpgradeRequest<'_>) -> Result<(), Response> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: Message<'_>, context: &mut Context<'_, ()>) {
        let _ = context.reply(message);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(Server::new(Echo).listen("127.0.0.1:9001".parse()?).run()?)
}
