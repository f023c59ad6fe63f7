//! `files`: a folder that is read once, at start; no path of a request ever reaches the file system.
//!
//! A name is looked up in a table, so there is nothing to climb out of. What changes on the disk is served after the
//! next start.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use sha1::{Digest, Sha1};

use crate::answer::Answer;
use crate::exchange::{Exchange, Progress};
use crate::layers::compress::pool::Fixed;
use crate::plan::{self, PlanError};
use crate::reject::{NOT_FOUND, PRECONDITION_FAILED, Rejection};
use crate::response_head;
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
    /// In whole seconds, as HTTP has them.
    modified: Option<SystemTime>,
    cache: HeaderValue,
    body: Arc<Fixed>,
}

/// What a path names.
enum Found<'f> {
    File(&'f File),
    /// A folder with an index, whose path lacks the slash at its end.
    Folder,
    Nothing,
}

/// What becomes of a request with conditions.
enum Condition {
    /// They hold, or there are none.
    Holds,
    /// The client has the file; whether it knows it by a weak tag.
    Unchanged {
        weak: bool,
    },
    Fails,
}

/// What is read on the way.
struct Reading<'p> {
    root: std::path::PathBuf,
    immutable: &'p [String],
    types: HashMap<String, HeaderValue>,
    bytes: usize,
    files: HashMap<Box<str>, File>,
}

// === impl Files ===

impl Files {
    /// Reads the folder.
    pub fn build(terminal: &plan::Terminal) -> Result<Self, PlanError> {
        let plan::Terminal::Files { folder, index, fallback, immutable, headers, types } = terminal
        else {
            return Err(PlanError::new("expected a terminal `files`"));
        };
        let wrong =
            |why: &dyn std::fmt::Display| PlanError::new(format!("files {folder:?}: {why}"));
        let root = std::fs::canonicalize(folder).map_err(|error| wrong(&error))?;
        let types = types_of(types).map_err(|why| wrong(&why))?;
        let mut reading = Reading { root, immutable, types, bytes: 0, files: HashMap::new() };
        let root = reading.root.clone();
        reading.folder(&root, "").map_err(|why| wrong(&why))?;
        if let Some(index) = index
            && !reading.files.contains_key(index.as_str())
        {
            return Err(wrong(&format!("the index {index:?} is not there")));
        }
        let headers = response_head::headers_of(headers).map_err(|why| wrong(&why))?;
        let index = index.as_deref().map(Box::from);
        Ok(Self { known: reading.files, index, fallback: *fallback, headers })
    }

    /// The file that the chain's text names; a redirect where it names a folder without its slash; or
    /// what the request's conditions make of it.
    pub(crate) fn answer(&self, exchange: &mut Exchange) -> Result<Answer, Box<Rejection>> {
        exchange.progress = Progress::Terminal;
        let request = &exchange.parts;
        let name = exchange.values.iter().find_map(|value| match value {
            Value::Text(text) => Some(&**text),
            _ => None,
        });
        let file = match self.find(name, request.uri.path()) {
            Found::File(file) => file,
            Found::Folder => return redirect(request),
            Found::Nothing => return Err(Rejection::new(&NOT_FOUND)),
        };
        let mut tag = file.tag.clone();
        let mut answer = match file.condition(request) {
            Condition::Fails => return Err(Rejection::new(&PRECONDITION_FAILED)),
            Condition::Holds => {
                Answer::fixed(StatusCode::OK, file.content_type.clone(), &file.body)
            }
            Condition::Unchanged { weak } => {
                if weak {
                    tag = weakened(&tag);
                }
                Answer::empty(StatusCode::NOT_MODIFIED)
            }
        };
        answer.headers.extend(self.headers.iter().cloned());
        answer.headers.extend([
            (ETAG, tag),
            (CACHE_CONTROL, file.cache.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        let modified = file.modified.map(httpdate::fmt_http_date).map(HeaderValue::try_from);
        answer.headers.extend(modified.and_then(Result::ok).map(|date| (LAST_MODIFIED, date)));
        Ok(answer)
    }

    fn find(&self, name: Option<&str>, path: &str) -> Found<'_> {
        let Some(index) = self.index.as_deref() else {
            return self.known.get(name.unwrap_or_default()).map_or(Found::Nothing, Found::File);
        };
        let of_folder = |folder: &str| self.known.get(&*format!("{folder}{index}"));
        let found = match name {
            None => of_folder(""), // a path of the index alone
            Some("") if !path.ends_with('/') => return Found::Folder,
            Some(name) if name.is_empty() || name.ends_with('/') => of_folder(name),
            Some(name) => match self.known.get(name) {
                None if of_folder(&format!("{name}/")).is_some() => return Found::Folder,
                known => known,
            },
        };
        let last = name.unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let falls_back = self.fallback && !last.contains('.');
        let found = found.or_else(|| falls_back.then(|| of_folder("")).flatten());
        found.map_or(Found::Nothing, Found::File)
    }
}

/// The same path with a slash at its end, so that links within the index lead below it.
fn redirect(request: &Parts) -> Result<Answer, Box<Rejection>> {
    let path = request.uri.path().trim_start_matches('/'); // `//host` would be another site
    let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("/{path}/{query}"))
        .map_err(|_| Rejection::new(&NOT_FOUND))?;
    let mut answer = Answer::empty(StatusCode::PERMANENT_REDIRECT);
    answer.headers.extend([(LOCATION, location), (CACHE_CONTROL, ASK_AGAIN)]);
    Ok(answer)
}

fn weakened(tag: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).unwrap_or_else(|_| tag.clone())
}

// === impl File ===

impl File {
    fn new(name: &str, body: Vec<u8>, modified: Option<SystemTime>, reading: &Reading<'_>) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(Sha1::digest(&body));
        let immutable = &reading.immutable;
        let forever = immutable.iter().any(|beginning| name.starts_with(beginning.as_str()));
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let extension = extension.to_ascii_lowercase();
        let own = reading.types.get(&extension).cloned();
        Self {
            content_type: own.unwrap_or_else(|| HeaderValue::from_static(content_type(&extension))),
            // Base64 is printable ASCII, so this does not fail.
            tag: HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(ASK_AGAIN),
            modified: modified.and_then(in_seconds),
            cache: if forever { YEAR } else { ASK_AGAIN },
            body: Fixed::new(body.into()),
        }
    }

    /// What a request's conditions say, in their order (RFC 9110, section 13.2.2).
    fn condition(&self, request: &Parts) -> Condition {
        let headers = &request.headers;
        // Compared strongly: compressed, the same file has a weak tag, and other bytes.
        if headers.contains_key(IF_MATCH) {
            if !tags(headers, &IF_MATCH).any(|tag| tag == b"*" || tag == self.tag.as_bytes()) {
                return Condition::Fails;
            }
        } else if self.changed_since(headers, &IF_UNMODIFIED_SINCE) == Some(true) {
            return Condition::Fails;
        }
        let reads = response_head::is_read(&request.method);
        if headers.contains_key(IF_NONE_MATCH) {
            let own = self.tag.as_bytes();
            let known = tags(headers, &IF_NONE_MATCH)
                .find(|tag| *tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == own);
            return match known {
                None => Condition::Holds,
                // A client that takes a coding has the file under a weak tag; it must find it again.
                Some(tag) if reads => Condition::Unchanged {
                    weak: tag.starts_with(b"W/") && headers.contains_key(ACCEPT_ENCODING),
                },
                Some(_) => Condition::Fails,
            };
        }
        if reads && self.changed_since(headers, &IF_MODIFIED_SINCE) == Some(false) {
            return Condition::Unchanged { weak: false };
        }
        Condition::Holds
    }

    /// Whether the file is newer than the date of a header; `None` where there is no one date.
    fn changed_since(&self, headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
        let mut lines = headers.get_all(name).iter();
        let date = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
        Some(self.modified? > httpdate::parse_http_date(date).ok()?)
    }
}

/// The members of a list of entity tags; ours have no comma in them.
fn tags<'r>(headers: &'r HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// A time that HTTP can say: not in the future, which clients would not believe.
fn in_seconds(time: SystemTime) -> Option<SystemTime> {
    let since = time.min(SystemTime::now()).duration_since(UNIX_EPOCH).ok()?;
    Some(UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs()))
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
        let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        let file = File::new(&name, body, modified, self);
        self.files.insert(name.into(), file);
        Ok(())
    }
}

/// Content types of a folder's own, by extension.
fn types_of(types: &[(String, String)]) -> Result<HashMap<String, HeaderValue>, String> {
    let one = |(extension, kind): &(String, String)| {
        let well_formed = kind.split_once('/').is_some_and(|(top, sub)| {
            !top.is_empty() && !sub.is_empty() && !top.contains([' ', ';'])
        });
        let value = HeaderValue::from_str(kind).ok().filter(|_| well_formed);
        let value = value.ok_or_else(|| format!("{kind:?} is not a content type"))?;
        Ok((extension.to_ascii_lowercase(), value))
    };
    types.iter().map(one).collect()
}

/// The content type of an extension in lower case (IANA's registry, and the WHATWG's for scripts).
fn content_type(extension: &str) -> &'static str {
    match extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" | "cjs" => "text/javascript; charset=utf-8",
        "txt" | "text" | "log" => "text/plain; charset=utf-8",
        "md" | "markdown" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        "xml" | "xsl" => "text/xml; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "ics" => "text/calendar; charset=utf-8",
        "vcf" => "text/vcard; charset=utf-8",
        "json" | "map" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "jsonld" => "application/ld+json",
        "geojson" => "application/geo+json",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "webmanifest" => "application/manifest+json",
        "atom" => "application/atom+xml",
        "rss" => "application/rss+xml",
        "xhtml" => "application/xhtml+xml",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "rtf" => "application/rtf",
        "epub" => "application/epub+zip",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "7z" => "application/x-7z-compressed",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "apng" => "image/apng",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "ico" => "image/vnd.microsoft.icon",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "ogv" => "video/ogg",
        "mov" => "video/quicktime",
        "mkv" => "video/matroska",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "weba" => "audio/webm",
        "flac" => "audio/flac",
        "aac" => "audio/aac",
        "mid" | "midi" => "audio/midi",
        "m3u8" => "application/vnd.apple.mpegurl",
        _ => "application/octet-stream",
    }
}
