//! The merchant's web site, as far as a buyer comes back to it: it takes every request, and remembers it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A shop that listens until it is dropped. A visitor whose query says `then=<URL>` is sent on to there.
#[derive(Debug)]
pub struct Shop {
    url: String,
    visits: Visits,
    server: JoinHandle<()>,
}

type Visits = Arc<Mutex<Vec<Visit>>>;

/// One request that a browser made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// GET, or POST where the browser was made to send a form.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query's parameters, in their order.
    pub query: Vec<(String, String)>,
    /// The form's fields, in their order.
    pub form: Vec<(String, String)>,
    /// What the browser told of where it came from.
    pub referer: Option<String>,
}

impl Visit {
    /// The first parameter of this name, or field of the form.
    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        let mut values = self.query.iter().chain(&self.form);
        let found = values.find(|(of, _)| of == name).map(|(_, value)| value.as_str());
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl Shop {
    /// Opens one on a port of its own.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the shop");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let visits = Visits::default();
        let router = Router::new().fallback(remember).with_state(visits.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the shop serves");
        });
        Shop { url, visits, server }
    }

    /// Where it is, with this path and query.
    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.url)
    }

    /// Who came so far. What browsers ask for by themselves is left out.
    pub fn visits(&self) -> Vec<Visit> {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.iter().filter(|visit| visit.path != "/favicon.ico").cloned().collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn remember(
    State(visits): State<Visits>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let referer =
        headers.get(header::REFERER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let visit = Visit {
        method,
        path: uri.path().to_owned(),
        query: pairs(uri.query().unwrap_or_default()),
        form: pairs(&String::from_utf8_lossy(&body)),
        referer,
    };
    let onward = visit.query.iter().find(|(name, _)| name == "then").map(|(_, url)| Redirect::to(url));
    visits.lock().unwrap_or_else(PoisonError::into_inner).push(visit);
    let page =
        Html("<!doctype html><html lang=\"en\"><title>The shop</title><h1>Back at the shop</h1></html>");
    onward.map_or_else(|| page.into_response(), IntoResponse::into_response)
}

/// The names and values of `application/x-www-form-urlencoded` text.
fn pairs(encoded: &str) -> Vec<(String, String)> {
    let mut url = Url::parse("form:").expect("a URL");
    url.set_query(Some(encoded));
    url.query_pairs().into_owned().collect()
}
