//! `/openapi.json`, and `/docs`: the same document as one page for people.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, schema::Components};
use utoipa::{Modify, OpenApi};

use crate::http::Routes;
use crate::{audit, health, http, metrics, v1, webhooks};

/// Both routes.
pub fn routes() -> Routes {
    vec![("/openapi.json", get(json)), ("/docs", get(page))]
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Daybook",
        description = "An event-sourced order ledger. Errors are `application/problem+json` (RFC 9457); programs read `code`."
    ),
    paths(health::healthz, health::readyz, metrics::get_metrics, json, page),
    components(schemas(http::problem::Document)),
    modifiers(&Security)
)]
struct Operations;

/// The ways to say who is calling.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut Document) {
        let bearer = |text: &str| {
            SecurityScheme::Http(
                HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build(),
            )
        };
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("api_key", bearer("A tenant's API key"));
        components.add_security_scheme("status_token", bearer("The status token of one order"));
    }
}

/// The whole API as a document. A surface with a document of its own merges it here.
pub fn document() -> Document {
    let mut document = v1::Document::openapi();
    document.merge(audit::Document::openapi());
    document.merge(webhooks::Document::openapi());
    document.merge(Operations::openapi());
    document.info = Operations::openapi().info;
    document
}

static JSON: LazyLock<String> = LazyLock::new(|| document().to_pretty_json().unwrap_or_default());
static PAGE: LazyLock<String> =
    LazyLock::new(|| render(&serde_json::to_value(document()).unwrap_or_default()));

/// This API as OpenAPI.
#[utoipa::path(get, path = "/openapi.json", tag = "Operations", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str())
}

/// This API for people.
#[utoipa::path(get, path = "/docs", tag = "Operations", responses((status = 200, description = "HTML")))]
pub(crate) async fn page() -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(PAGE.as_str()))
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
    code,pre{font:14px/1.4 ui-monospace,monospace}h2{border-bottom:1px solid #8884;margin-top:2.5rem}\
    details{border:1px solid #8884;border-radius:6px;margin:.5rem 0;padding:.5rem .8rem}summary{cursor:pointer}\
    table{border-collapse:collapse}td{border-top:1px solid #8884;padding:.2rem .8rem .2rem 0;vertical-align:top}\
    b.m{display:inline-block;min-width:4rem}:root{color-scheme:light dark}";

/// The document as one page that needs nothing else.
fn render(document: &Value) -> String {
    let mut page = String::new();
    let info = &document["info"];
    // Writing to a String cannot fail.
    let _written = write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{text}</p>\
         <p><a href=/openapi.json>openapi.json</a></p>",
        title = escaped(&info["title"]),
        text = prose(&info["description"]),
    );
    let mut tags: Vec<&str> = Vec::new();
    let operations = operations(document);
    for (_, _, operation) in &operations {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    for tag in tags {
        let _written = write!(page, "<h2>{}</h2>", escape(tag));
        for (path, method, operation) in &operations {
            if operation["tags"][0].as_str() == Some(tag) {
                render_operation(&mut page, path, method, operation);
            }
        }
    }
    page.push_str("<h2>Shapes</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _written = write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code> {text}</summary><table>",
            name = escape(name),
            text = prose(&schema["description"]),
        );
        for (field, shape) in schema["properties"].as_object().into_iter().flatten() {
            render_row(&mut page, field, &kind(shape), &shape["description"]);
        }
        if schema["properties"].is_null() {
            render_row(&mut page, "", &kind(schema), &Value::Null);
        }
        page.push_str("</table></details>");
    }
    page.push_str("</html>");
    page
}

/// Path, method and operation, in the order of the document.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .filter(|(_, _, operation)| operation["responses"].is_object())
        .collect()
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let summary = [&operation["summary"], &operation["description"]].into_iter().find(|text| !text.is_null());
    let _written = write!(
        page,
        "<details><summary><b class=m>{}</b> <code>{}</code> {}</summary><table>",
        escape(&method.to_uppercase()),
        escape(path),
        prose(summary.unwrap_or(&Value::Null)),
    );
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let place = escaped(&parameter["in"]);
        render_row(page, name, &place, &parameter["description"]);
    }
    for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        render_row(page, "body", &kind(&content["schema"]), &Value::Null);
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let content = response["content"].as_object().into_iter().flatten().next();
        let shape = content.map(|(_, content)| kind(&content["schema"])).unwrap_or_default();
        render_row(page, status, &shape, &response["description"]);
    }
    page.push_str("</table></details>");
}

fn render_row(page: &mut String, name: &str, kind: &str, text: &Value) {
    let _written = write!(page, "<tr><td><code>{}</code><td>{kind}<td>{}</tr>", escape(name), prose(text));
}

/// A shape in a few words, with links to the shapes that have a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escape(name));
    }
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).or(schema["allOf"].as_array());
    if let Some(several) = several {
        return several.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("<code>{}</code>", escaped(word)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("list of {}", kind(&schema["items"])),
        Value::Array(names) => names.iter().map(escaped).collect::<Vec<_>>().join(" or "),
        name @ (Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            escaped(name)
        }
    }
}

/// A description: `code` in backticks, everything else as it is.
fn prose(text: &Value) -> String {
    let parts = text.as_str().unwrap_or_default().split('`').enumerate();
    parts
        .map(
            |(index, part)| {
                if index % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }
            },
        )
        .collect()
}

fn escaped(text: &Value) -> String {
    escape(text.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_native_route_is_in_the_document() {
        let document = serde_json::to_value(document()).unwrap();
        for (path, _) in crate::startup::native_routes().into_iter().chain(webhooks::routes()) {
            assert!(document["paths"][path].is_object(), "{path} is not in the document");
        }
    }

    #[test]
    fn the_page_shows_every_path_and_needs_nothing_from_elsewhere() {
        let document = serde_json::to_value(document()).unwrap();
        let page = render(&document);
        for path in document["paths"].as_object().unwrap().keys() {
            assert!(page.contains(&escape(path)), "{path}");
        }
        for remote in ["src=", "http://", "https://", "<script", "@import"] {
            assert!(!page.contains(remote), "{remote}");
        }
    }
}
