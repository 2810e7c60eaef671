//! Who may ask: bearer keys, compared in constant time and never shown.
//! Owns where keys come from and the check; leaves to the route table which routes need one.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Problem, ServerState};

/// Where the keys stand. Its file is read again at every reload.
#[derive(Clone, Default)]
pub struct KeySource {
    /// One key a line; blank lines and lines that begin with `#` are skipped.
    pub file: Option<PathBuf>,
    /// The same form, or keys separated by commas.
    pub variable: Option<String>,
}

/// The keys in force; a reload exchanges them.
#[derive(Debug, Default)]
pub struct Access {
    source: KeySource,
    keys: RwLock<Option<Arc<ApiKeys>>>,
}

/// Digests of the keys that are admitted.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
}

/// Why there are no keys where there should be some. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the API keys in {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// No key could be admitted.
    #[error("{place} holds no API key; put one on a line, or leave the option out to serve everyone")]
    Empty {
        /// Where keys were looked for.
        place: String,
    },
    /// A key that no header could carry.
    #[error("{place}, key {number}: expected visible ASCII characters without spaces")]
    Unusable {
        /// Where the key stands.
        place: String,
        /// Its number, from 1.
        number: usize,
    },
}

impl KeySource {
    /// Reads the keys; `None` when no place is named and everyone is served.
    ///
    /// # Errors
    /// When a named place holds no key, or one that cannot be used.
    pub fn read(&self) -> Result<Option<ApiKeys>, KeyError> {
        let mut digests = Vec::new();
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path).map_err(|error| KeyError::File { path: path.clone(), error })?;
            digests.extend(digests_of(&path.display().to_string(), &text)?);
        }
        if let Some(text) = &self.variable {
            digests.extend(digests_of("TRM_API_KEYS", &text.replace(',', "\n"))?);
        }
        Ok((!digests.is_empty()).then_some(ApiKeys { digests }))
    }
}

impl Access {
    /// Reads the keys of `source`.
    ///
    /// # Errors
    /// As [`KeySource::read`].
    pub fn open(source: KeySource) -> Result<Self, KeyError> {
        let keys = RwLock::new(source.read()?.map(Arc::new));
        Ok(Self { source, keys })
    }

    /// The keys that stand in the source now, which need not be those in force.
    ///
    /// # Errors
    /// As [`KeySource::read`].
    pub fn read_keys(&self) -> Result<Option<ApiKeys>, KeyError> {
        self.source.read()
    }

    /// Puts `keys` in force.
    pub fn set_keys(&self, keys: Option<ApiKeys>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.map(Arc::new);
    }

    /// The keys in force; `None`: everyone may ask.
    pub fn keys(&self) -> Option<Arc<ApiKeys>> {
        // No code that can panic runs under the lock.
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ApiKeys {
    /// Whether `key` is one of them. Takes the same time for every wrong key.
    pub fn admit(&self, key: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let is_known = self.digests.iter().fold(Choice::from(0), |known, own| known | own.ct_eq(&digest));
        is_known.into()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = self.variable.as_ref().map(|_| "<not shown>");
        formatter.debug_struct("KeySource").field("file", &self.file).field("variable", &variable).finish()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiKeys({})", self.digests.len())
    }
}

/// Lets requests pass that bring a key, and all of them where none is configured.
pub(super) async fn require_key(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(keys) = state.access.keys() {
        let key = bearer(request.headers()).ok_or(Problem::Unauthorized { was_sent: false })?;
        if !keys.admit(key) {
            return Err(Problem::Unauthorized { was_sent: true });
        }
    }
    Ok(next.run(request).await)
}

/// Refuses every request where no key is configured: for routes that must not be open to everyone.
pub(super) async fn refuse_without_keys(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if state.access.keys().is_none() {
        return Err(Problem::Forbidden(
            "this route needs API keys, and the server has none; start it with --api-keys-file, or send the process \
             SIGHUP to reload"
                .into(),
        ));
    }
    Ok(next.run(request).await)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

fn digests_of(place: &str, text: &str) -> Result<Vec<[u8; 32]>, KeyError> {
    let keys = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let digests = keys.enumerate().map(|(index, key)| {
        if key.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Sha256::digest(key.as_bytes()).into())
        } else {
            Err(KeyError::Unusable { place: place.to_owned(), number: index + 1 })
        }
    });
    let digests = digests.collect::<Result<Vec<_>, _>>()?;
    if digests.is_empty() {
        return Err(KeyError::Empty { place: place.to_owned() });
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_both_places_and_show_in_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "# of the team\nfirst-key\n\n  second-key  \n").unwrap();
        let source = KeySource { file: Some(file.clone()), variable: Some("third-key,fourth-key".into()) };
        let keys = source.read().unwrap().unwrap();
        for key in ["first-key", "second-key", "third-key", "fourth-key"] {
            assert!(keys.admit(key.as_bytes()), "{key}");
        }
        for key in ["", "#", "first-ke", "first-key ", "third-key,fourth-key", "# of the team"] {
            assert!(!keys.admit(key.as_bytes()), "{key}");
        }
        let shown = format!("{source:?} {keys:?}");
        assert!(!shown.contains("-key") && shown.contains("ApiKeys(4)"), "{shown}");
        assert!(KeySource::default().read().unwrap().is_none());

        std::fs::write(&file, "# nothing\n").unwrap();
        let error = KeySource { variable: None, ..source }.read().unwrap_err().to_string();
        assert!(error.contains("holds no API key"), "{error}");
        let spaced = KeySource { file: None, variable: Some("good-key,bad key".into()) };
        let error = spaced.read().unwrap_err().to_string();
        assert_eq!(error, "TRM_API_KEYS, key 2: expected visible ASCII characters without spaces");
        let missing = KeySource { file: Some(folder.path().join("none")), variable: None };
        assert!(missing.read().unwrap_err().to_string().starts_with("cannot read the API keys in "));
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            bearer(&headers).map(|key| String::from_utf8(key.to_vec()).unwrap())
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bear"), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
