//! Reading a body, step by step, each with its own problem: size, content type, UTF-8, JSON, shape. And writing one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::problem::{Code, Problem};
use crate::app::App;

/// How much of a body that is too large is still taken, so that its sender gets to read the answer.
const DISCARDED: usize = 1024 * 1024;

/// A JSON object of this shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, app.config.limits.body_bytes).await?;
        expect_json(&parts.headers)?;
        parse(&bytes).map(Json)
    }
}

/// A JSON object of this shape, or no body at all, which reads as the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, app.config.limits.body_bytes).await?;
        if bytes.is_empty() {
            return Ok(JsonOrNothing(T::default()));
        }
        expect_json(&parts.headers)?;
        parse(&bytes).map(JsonOrNothing)
    }
}

/// All of a body, if it has at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut discarded = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|_| Problem::new(Code::MalformedJson, "the body broke off before its end"))?;
        if discarded == 0 && bytes.len() + chunk.len() <= limit {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        discarded += chunk.len();
        if discarded > DISCARDED {
            break;
        }
    }
    if discarded > 0 {
        return Err(Problem::new(Code::BodyTooLarge, format!("at most {limit} bytes")));
    }
    Ok(bytes.freeze())
}

/// `application/json`, with UTF-8 as the only charset there is.
pub fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    expect(headers, &["application/json"])
}

/// One of these media types, with UTF-8 as the only charset there is.
pub fn expect(headers: &HeaderMap, media_types: &[&str]) -> Result<(), Problem> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_known = parts.next().is_some_and(|media_type| media_types.contains(&media_type.as_str()));
    let is_utf8 = parts
        .filter_map(|parameter| parameter.strip_prefix("charset=").map(|c| c.trim_matches('"').to_owned()))
        .all(|charset| charset == "utf-8" || charset == "utf8");
    if is_known && is_utf8 {
        Ok(())
    } else {
        let wanted = media_types.join(" or ");
        Err(Problem::new(Code::UnsupportedMediaType, format!("send Content-Type: {wanted}, in UTF-8")))
    }
}

/// The bytes as a JSON object of this shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(Code::InvalidUtf8, format!("not UTF-8 after {} bytes", error.valid_up_to()))
    })?;
    if let Ok(Object(value)) = serde_json::from_str(text) {
        return Ok(value);
    }
    // Keeping track of where the reader is costs as much as reading: only what is wrong is read again that way.
    let mut reader = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize::<_, Object<T>>(&mut reader).map_err(|error| {
        let path = error.path().clone();
        explain(&path, &error.into_inner())
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

/// 200 with a document, for the routes that answer the most requests; written into one buffer that most documents fit
/// into. `axum::Json` grows its own piece by piece.
pub fn json(document: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(1024);
    match serde_json::to_writer(&mut bytes, document) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "INTERNAL: a document cannot be written");
            Problem::internal().into_response()
        }
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Code::MalformedJson, error.to_string())
}

/// serde tells a field that is missing from one that is unknown in its message alone; a test pins the wording.
fn explain(path: &Path, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => malformed(error),
        Category::Data => {
            let text = error.to_string();
            let parent = pointer(path);
            let named = |prefix: &str| Some(text.strip_prefix(prefix)?.split('`').next()?.to_owned());
            if let Some(field) = named("missing field `") {
                let at = format!("{parent}/{}", escaped(&field));
                return Problem::at(Code::MissingField, at, format!("{field} is required"));
            }
            if let Some(field) = named("unknown field `") {
                // The path names the field itself where the reader had got to it, else the object around it.
                let end = format!("/{}", escaped(&field));
                let at = if parent.ends_with(&end) { parent } else { parent + &end };
                return Problem::at(Code::UnknownField, at, format!("{field} is not a field here"));
            }
            if let Some(field) = named("duplicate field `") {
                let at = format!("{parent}/{}", escaped(&field));
                return Problem::at(Code::InvalidField, at, format!("{field} is there twice"));
            }
            // Without the line and column: the pointer is where people look.
            let detail = text.split(" at line ").next().unwrap_or_default().to_owned();
            Problem::at(Code::InvalidField, parent, detail)
        }
    }
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escaped(key),
            Segment::Enum { variant } => escaped(variant),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&step);
    }
    pointer
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A value that is written as a JSON object and nothing else: by itself, serde reads a list as a struct, too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FromMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(FromMap(PhantomData)).map(Object)
    }
}

impl<T: Serialize> Serialize for Object<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        amount: Object<Inner>,
        #[serde(default)]
        items: Vec<Object<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        value: Box<RawValue>,
    }

    #[track_caller]
    fn check(body: impl AsRef<[u8]>, code: Code, at: Option<&str>) {
        let problem = parse::<Shape>(body.as_ref()).unwrap_err();
        assert_eq!((problem.code, problem.pointer.as_deref()), (code, at), "{}", problem.detail);
    }

    #[test]
    fn each_way_of_being_wrong_has_its_code_and_its_place() {
        check("", Code::MalformedJson, None);
        check("{", Code::MalformedJson, None);
        check("{}}", Code::MissingField, Some("/amount"));
        check(r#"{"amount":{"value":1}} x"#, Code::MalformedJson, None);
        check(b"{\"a\":\"\xff\"}", Code::InvalidUtf8, None);
        check("{}", Code::MissingField, Some("/amount"));
        check(r#"{"amount":{}}"#, Code::MissingField, Some("/amount/value"));
        check(r#"{"amount":{"value":1},"extra":1}"#, Code::UnknownField, Some("/extra"));
        check(r#"{"amount":{"value":1,"e/x":1}}"#, Code::UnknownField, Some("/amount/e~1x"));
        check(
            r#"{"amount":{"value":1},"items":[{"value":1},{"x":1}]}"#,
            Code::UnknownField,
            Some("/items/1/x"),
        );
        check(r#"{"amount":{"value":1},"items":{}}"#, Code::InvalidField, Some("/items"));
        check(r#"{"amount":7}"#, Code::InvalidField, Some("/amount"));
        check(r#"{"amount":{"value":1},"amount":{"value":2}}"#, Code::InvalidField, Some("/amount"));
        check("7", Code::InvalidField, Some(""));
    }

    #[test]
    fn a_list_is_not_an_object() {
        check(r#"[{"value":1}]"#, Code::InvalidField, Some(""));
        check(r#"{"amount":[1]}"#, Code::InvalidField, Some("/amount"));
    }

    #[test]
    fn a_number_is_kept_as_it_was_written() {
        for text in ["19.99", "1e3", "-1", "0", "123456789012345678901234567890", "\"1\"", "null", "[1, 2]"] {
            let body = format!(r#"{{"amount":{{"value": {text} }}}}"#);
            let shape: Shape = parse(body.as_bytes()).unwrap();
            assert_eq!(shape.amount.0.value.get(), text);
            assert!(shape.items.is_empty());
        }
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            expect_json(&headers).is_ok()
        };
        assert!(of("application/json"));
        assert!(of("Application/JSON; charset=UTF-8"));
        assert!(!of("application/json; charset=latin1"));
        assert!(!of("text/plain"));
        assert!(!of("application/jsonp"));
        assert!(expect_json(&HeaderMap::new()).is_err());
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        assert_eq!(read(Body::from("12345"), 5).await.unwrap(), "12345");
        assert_eq!(read(Body::from("123456"), 5).await.unwrap_err().code, Code::BodyTooLarge);
    }
}
