//! `daybook serve`: runs the server until it is told to stop.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use super::{Failure, print};
use crate::app::App;
use crate::config::{Config, DEMO_ADMIN_KEY, DEMO_KEY, DEMO_TENANT, SANDBOX_SOURCE};
use crate::startup::{self, Shutdown};

pub(super) async fn run(config: Config) -> Result<(), Failure> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let failure = Failure::new(format!("cannot listen on {listen}: {error}"));
        if error.kind() == ErrorKind::AddrInUse {
            failure.hint("another server has it; choose another with --listen, such as 127.0.0.1:0")
        } else {
            failure
        }
    })?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    // From here on no signal is lost, however early it comes.
    let mut signals = Signals::listen().map_err(|error| Failure::new(format!("no signals: {error}")))?;
    let app = tokio::select! {
        app = startup::open(config, address) => app?,
        () = signals.next() => return Ok(()),
    };
    tokio::spawn(stop_on_signal(app.shutdown.clone(), signals));
    if app.config.has_demo_credentials() {
        eprint!("{}", welcome(&app));
    }
    // Programs that start the server read this line.
    print(&format!("listening on http://{address}\n"))?;
    Ok(startup::serve(app, listener).await?)
}

/// The README's tour in short, as it stands there: a challenge, a capture, a partial refund.
const TOUR: &str = r#"
DAYBOOK=http://127.0.0.1:8080
AUTH='Authorization: Bearer demo-key'
curl -si $DAYBOOK/v1/checkouts -H "$AUTH" -H 'Content-Type: application/json' -H 'Idempotency-Key: A-1001' \
  -d '{"amount": {"value": 1999, "currency": "EUR"}, "merchant_reference": "A-1001",
       "payment_method": {"type": "card", "token": "tok_3ds"}}'
echo
ORDER=$DAYBOOK/v1/orders/bd6fdb1c-5e78-55f9-aee6-ed210905f6db
until curl -s "$ORDER/status?wait=1s" -H "$AUTH" | grep -v processing; do :; done
CHALLENGE=$(curl -s "$ORDER/status" -H "$AUTH" | sed -n 's/.*"url":"\([^"]*\)".*/\1/p')
curl -s -o /dev/null "${CHALLENGE%%\?*}" -d "${CHALLENGE#*\?}" -d answer=pass
until curl -s "$ORDER/status?wait=1s" -H "$AUTH" | grep -E '"(captured|partially_refunded)"'; do :; done
curl -s "$ORDER/refunds" -H "$AUTH" -H 'Content-Type: application/json' -H 'Idempotency-Key: R-1' \
  -d '{"amount": {"value": 500, "currency": "EUR"}, "reason": "one item came back"}'
echo
until curl -s "$ORDER/status?wait=1s" -H "$AUTH" | grep partially_refunded; do :; done
curl -s "$ORDER/balance" -H "$AUTH"
echo
"#;

/// What somebody needs who sees Daybook for the first time.
fn welcome(app: &App) -> String {
    let url = &app.public_url;
    let secret = Config::demo_webhook_secret();
    format!(
        "\nDaybook is running as a demo: tenant `{DEMO_TENANT}`, key `{DEMO_KEY}`, for this machine only.\n\n\
         \x20 /v1        Authorization: Bearer {DEMO_KEY}\n\
         \x20 Azotte     x-tn: {DEMO_TENANT} and x-api-key: {DEMO_KEY}\n\
         \x20 Kronor     Authorization: Bearer {DEMO_KEY}; in a browser: {url}/kronor/v1/graphql\n\
         \x20 /admin     Authorization: Bearer {DEMO_ADMIN_KEY}\n\
         \x20 Webhooks   POST {url}/webhooks/{DEMO_TENANT}/{SANDBOX_SOURCE}, Standard Webhooks, secret {secret}\n\
         \x20 Reading    {url}/docs\n\n\
         {tour}",
        secret = secret.reveal(),
        tour = if app.config.sandbox.enabled { tour(app) } else { String::new() },
    )
}

fn tour(app: &App) -> String {
    let here = format!("http://{}", app.address);
    let lines = TOUR.trim().replace("http://127.0.0.1:8080", &here);
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "To try it, paste this into another terminal: a checkout with a card that asks for a 3-D Secure challenge,\n\
         which is passed; then 5.00 of the 19.99 EUR are refunded.\n\n{lines}\n"
    )
}

/// The first signal drains, the second one ends it here and now.
async fn stop_on_signal(shutdown: Shutdown, mut signals: Signals) {
    signals.next().await;
    shutdown.begin();
    tracing::info!("stopping: requests in flight are finished; a second signal stops at once");
    signals.next().await;
    tracing::warn!("stopped at once");
    std::process::exit(1);
}

/// The signals that ask a server to stop: ctrl-c, and SIGTERM where there is one.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns at the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals {})
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tour_that_is_printed_is_the_readmes() {
        let readme = include_str!("../../../README.md");
        let mut rest = readme;
        for line in TOUR.trim().lines() {
            let found = rest.find(&format!("\n{line}\n"));
            let end = found.map(|start| start + line.len() + 1);
            assert!(end.is_some(), "this does not stand in the README, or not in this order: {line}");
            rest = &rest[end.unwrap_or_default()..];
        }
    }
}
