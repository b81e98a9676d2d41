//! `daybook serve`: runs the server until it is told to stop.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use super::{Failure, print};
use crate::app::App;
use crate::config::{Config, DEMO_KEY, DEMO_TENANT, SANDBOX_SOURCE};
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
    let app = startup::open(config, address).await?;
    tokio::spawn(stop_on_signal(app.shutdown.clone()));
    if app.config.has_demo_credentials() {
        eprint!("{}", welcome(&app));
    }
    // Programs that start the server read this line.
    print(&format!("listening on http://{address}\n"))?;
    Ok(startup::serve(app, listener).await?)
}

/// What somebody needs who sees Daybook for the first time.
fn welcome(app: &App) -> String {
    let url = &app.public_url;
    let secret = Config::demo_webhook_secret();
    format!(
        "\nDaybook is running as a demo: tenant `{DEMO_TENANT}`, key `{DEMO_KEY}`, for this machine only.\n\n\
         \x20 /v1        Authorization: Bearer {DEMO_KEY}\n\
         \x20 Azotte     x-tn: {DEMO_TENANT} and x-api-key: {DEMO_KEY}\n\
         \x20 Webhooks   POST {url}/webhooks/{DEMO_TENANT}/{SANDBOX_SOURCE}, Standard Webhooks, secret {secret}\n\
         \x20 Reading    {url}/docs\n\n\
         Try it:\n\n\
         \x20 curl -s {url}/v1/checkouts -H 'Authorization: Bearer {DEMO_KEY}' \\\n\
         \x20   -H 'Content-Type: application/json' -H 'Idempotency-Key: first' \\\n\
         \x20   -d '{{\"amount\": {{\"value\": 1999, \"currency\": \"EUR\"}}, \"merchant_reference\": \"A-1001\", \
         \"payment_method\": {{\"type\": \"card\", \"token\": \"tok_success\"}}}}'\n\n",
        secret = secret.reveal(),
    )
}

/// The first signal drains, the second one ends it here and now.
async fn stop_on_signal(shutdown: Shutdown) {
    signal().await;
    tracing::info!("stopping: requests in flight are finished; a second signal stops at once");
    shutdown.begin();
    signal().await;
    tracing::warn!("stopped at once");
    std::process::exit(1);
}

async fn signal() {
    let interrupt = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(error = %error, "cannot listen for ctrl-c");
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(error) => {
                tracing::error!(error = %error, "cannot listen for SIGTERM");
                std::future::pending::<()>().await;
            }
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
