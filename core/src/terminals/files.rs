//! `files`: a folder that is read once, at start; no path of a request ever reaches the file system.
//!
//! A name is looked up in a table, so there is nothing to climb out of. What changes on the disk is served after the
//! next start.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use sha1::{Digest, Sha1};

use crate::answer::Answer;
use crate::plan;
use crate::program::PlanError;
use crate::reject::{NOT_FOUND, Rejection};
use crate::value::Value;

/// What a folder may hold: it is kept in memory.
const MOST_FILES: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;
const YEAR: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A folder, read.
pub struct Files {
    known: HashMap<Box<str>, File>,
    index: Option<Box<str>>,
    fallback: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
}

struct File {
    content_type: HeaderValue,
    tag: HeaderValue,
    cache: HeaderValue,
    body: Bytes,
}

/// What is read on the way.
struct Reading<'p> {
    root: std::path::PathBuf,
    immutable: &'p [String],
    bytes: usize,
    files: HashMap<Box<str>, File>,
}

// === impl Files ===

impl Files {
    /// Reads the folder.
    pub fn build(terminal: &plan::Terminal) -> Result<Self, PlanError> {
        let plan::Terminal::Files { folder, index, fallback, immutable, headers } = terminal else {
            return Err(PlanError::new("expected a terminal `files`"));
        };
        let wrong =
            |why: &dyn std::fmt::Display| PlanError::new(format!("files {folder:?}: {why}"));
        let root = std::fs::canonicalize(folder).map_err(|error| wrong(&error))?;
        let mut reading = Reading { root, immutable, bytes: 0, files: HashMap::new() };
        let root = reading.root.clone();
        reading.folder(&root, "").map_err(|why| wrong(&why))?;
        if let Some(index) = index
            && !reading.files.contains_key(index.as_str())
        {
            return Err(wrong(&format!("the index {index:?} is not there")));
        }
        let headers = headers
            .iter()
            .map(|(name, value)| Ok((name.parse()?, value.parse()?)))
            .collect::<Result<_, http::Error>>()
            .map_err(|error| wrong(&format!("a header: {error}")))?;
        let index = index.as_deref().map(Box::from);
        Ok(Self { known: reading.files, index, fallback: *fallback, headers })
    }

    /// The file that the chain's text names, or says that the client has it already (RFC 9110, section 13.1.2).
    pub fn answer(&self, values: &[Value], request: &HeaderMap) -> Result<Answer, Box<Rejection>> {
        let name = values.iter().find_map(|value| match value {
            Value::Text(text) => Some(&**text),
            _ => None,
        });
        let file = self.find(name.unwrap_or_default()).ok_or_else(|| Rejection::new(&NOT_FOUND))?;
        let mut answer = if file.is_known_to(request) {
            Answer::empty(StatusCode::NOT_MODIFIED)
        } else {
            Answer::full(StatusCode::OK, file.content_type.clone(), file.body.clone())
        };
        answer.headers.extend(self.headers.iter().cloned());
        answer.headers.extend([
            (ETAG, file.tag.clone()),
            (CACHE_CONTROL, file.cache.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        Ok(answer)
    }

    fn find(&self, name: &str) -> Option<&File> {
        if let Some(file) = self.known.get(name) {
            return Some(file);
        }
        let index = self.index.as_deref()?;
        let last = name.rsplit('/').next().unwrap_or_default();
        let is_folder = last.is_empty();
        let own = if is_folder { self.known.get(&*format!("{name}{index}")) } else { None };
        let falls_back = self.fallback && !last.contains('.');
        own.or_else(|| falls_back.then(|| self.known.get(index)).flatten())
    }
}

// === impl File ===

impl File {
    fn new(name: &str, body: Vec<u8>, immutable: &[String]) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(Sha1::digest(&body));
        let forever = immutable.iter().any(|beginning| name.starts_with(beginning.as_str()));
        Self {
            content_type: HeaderValue::from_static(content_type(name)),
            // Base64 is printable ASCII, so this does not fail.
            tag: HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(ASK_AGAIN),
            cache: if forever { YEAR } else { ASK_AGAIN },
            body: body.into(),
        }
    }

    /// Whether the request names this file's tag. Compared weakly: compressed, the same file has a weak tag.
    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let own = self.tag.as_bytes();
        request.get_all(IF_NONE_MATCH).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .map(<[u8]>::trim_ascii)
                .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == own)
        })
    }
}

// === impl Reading ===

impl Reading<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), String> {
        let said = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(said)? {
            let entry = entry.map_err(said)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            // A link is followed as far as it stays below the folder.
            let path = std::fs::canonicalize(entry.path()).map_err(said)?;
            if !path.starts_with(&self.root) {
                return Err(format!("{prefix}{name} leads out of the folder"));
            }
            if path.is_dir() {
                // A link to a folder above itself would never end.
                if entry.file_type().map_err(said)?.is_symlink() {
                    return Err(format!("{prefix}{name} is a link to a folder"));
                }
                self.folder(&path, &format!("{prefix}{name}/"))?;
            } else {
                self.file(&path, format!("{prefix}{name}"))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<(), String> {
        let body = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
        self.bytes += body.len();
        if self.bytes > MOST_BYTES || self.files.len() >= MOST_FILES {
            return Err(format!(
                "more than {MOST_FILES} files or {} MiB, which are kept in memory",
                MOST_BYTES >> 20
            ));
        }
        let file = File::new(&name, body, self.immutable);
        self.files.insert(name.into(), file);
        Ok(())
    }
}

fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        _ => "application/octet-stream",
    }
}
