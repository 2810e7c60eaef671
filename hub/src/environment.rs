//! The hub's environment variables, read as Python's `huggingface_hub` reads them: which of two names counts, which values mean
//! yes, what is expanded in paths. Owns no request; leaves those to [`crate::Hub`].

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::HubError;

/// Variables of which one keeps every request from being made.
const OFFLINE: [&str; 2] = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
/// Most bytes of a token's file.
const MAX_TOKEN_BYTES: u64 = 1 << 16;

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Address of the hub, if it is another one.
    pub(crate) endpoint: Option<String>,
    /// Folder of the cache.
    pub(crate) cache: PathBuf,
    /// Who asks.
    pub(crate) token: Option<String>,
    /// The variable that forbids requests.
    pub(crate) offline: Option<&'static str>,
    /// Whether the cache may hold symbolic links.
    pub(crate) symlinks: bool,
}

impl Environment {
    /// Reads the variables through `variable`; `home` is the home folder.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Result<Self, HubError> {
        let variables = Variables { variable, home };
        let cache_home = variables.cache_home();
        let cache = variables
            .folder("HF_HUB_CACHE")
            .or_else(|| variables.folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(cache_home.as_ref()?.join("hub")))
            .ok_or(HubError::NoCache)?;
        Ok(Self {
            endpoint: variables.endpoint()?,
            cache,
            token: variables.token(cache_home.as_deref())?,
            offline: OFFLINE.into_iter().find(|name| variables.is_yes(name)),
            symlinks: !variables.is_yes("HF_HUB_DISABLE_SYMLINKS"),
        })
    }
}

/// The variables and the home folder that `~` stands for.
struct Variables<F> {
    variable: F,
    home: Option<PathBuf>,
}

impl<F: Fn(&str) -> Option<OsString>> Variables<F> {
    /// A variable that is set and not empty.
    fn raw(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// A variable as text.
    fn text(&self, name: &str) -> Result<Option<String>, HubError> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let text = value.into_string().map_err(|_| bad(name, "bytes that are not UTF-8"))?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn is_yes(&self, name: &str) -> bool {
        let is_yes = |value: &str| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        self.raw(name).and_then(|value| value.into_string().ok()).is_some_and(|value| is_yes(value.trim()))
    }

    /// A variable as a path, with `~` and variables in it expanded.
    fn folder(&self, name: &str) -> Option<PathBuf> {
        let value = self.raw(name)?;
        match value.to_str() {
            Some(text) => Some(self.expanded(text)),
            // What is not text holds nothing to expand.
            None => Some(PathBuf::from(value)),
        }
    }

    /// The hub's own folder in the cache of the user.
    fn cache_home(&self) -> Option<PathBuf> {
        let in_cache = || Some(self.folder("XDG_CACHE_HOME")?.join("huggingface"));
        let in_home = || Some(self.home.as_ref()?.join(".cache").join("huggingface"));
        self.folder("HF_HOME").or_else(in_cache).or_else(in_home)
    }

    fn endpoint(&self) -> Result<Option<String>, HubError> {
        let endpoint = self.text("HF_ENDPOINT")?;
        match endpoint {
            Some(address) if !address.starts_with("https://") && !address.starts_with("http://") => {
                let problem = format!("{address:?}, which is not an address that begins with https:// or http://");
                Err(bad("HF_ENDPOINT", problem))
            }
            Some(address) if !address.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(bad("HF_ENDPOINT", format!("{address:?}, an address with blanks or letters beyond ASCII")))
            }
            endpoint => Ok(endpoint),
        }
    }

    /// The first token that is set, without the line break that a file or a copy has behind it.
    fn token(&self, cache_home: Option<&Path>) -> Result<Option<String>, HubError> {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let Some(token) = self.text(name)? {
                return checked(token, name).map(Some);
            }
        }
        if self.is_yes("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        let Some(path) = self.folder("HF_TOKEN_PATH").or_else(|| Some(cache_home?.join("token"))) else {
            return Ok(None);
        };
        let is_small =
            fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_TOKEN_BYTES);
        // Without a login there is no file.
        let Some(text) = Some(&path).filter(|_| is_small).and_then(|path| fs::read_to_string(path).ok()) else {
            return Ok(None);
        };
        let token = text.trim().to_owned();
        if token.is_empty() { Ok(None) } else { checked(token, &path.display().to_string()).map(Some) }
    }

    /// `~` at the beginning is the home folder, `$NAME` and `${NAME}` are variables; those that are not set stay.
    fn expanded(&self, text: &str) -> PathBuf {
        let text = self.with_variables(text);
        match (&self.home, text.strip_prefix('~')) {
            (Some(home), Some("")) => home.clone(),
            (Some(home), Some(rest)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(text),
        }
    }

    fn with_variables(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            expanded.push_str(before);
            let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let braced = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after, whole) = if let Some((name, after)) = braced {
                (name, after, name.len() + 3)
            } else {
                let end = behind.find(|character| !is_name(character)).unwrap_or(behind.len());
                (&behind[..end], &behind[end..], end + 1)
            };
            match (self.variable)(name).and_then(|value| value.into_string().ok()).filter(|_| !name.is_empty()) {
                Some(value) => expanded.push_str(&value),
                None => expanded.push_str(&rest[before.len()..before.len() + whole]),
            }
            rest = after;
        }
        expanded + rest
    }
}

fn bad(name: &str, problem: impl Into<String>) -> HubError {
    HubError::Variable { name: name.to_owned(), problem: problem.into() }
}

/// Refuses what no header can carry, without quoting it.
fn checked(token: String, name: &str) -> Result<String, HubError> {
    match token.chars().position(|character| !character.is_ascii_graphic()) {
        None => Ok(token),
        Some(place) => Err(bad(name, format!("a token whose character {} no request can carry", place + 1))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, HubError> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Environment::read(|name| variables.get(name).map(OsString::from), Some("/home/ada".into()))
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        read(variables).unwrap().cache
    }

    #[test]
    fn the_cache_is_where_the_first_variable_says() {
        assert_eq!(cache(&[]), Path::new("/home/ada/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "~/xdg")]), Path::new("/home/ada/xdg/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "$SCRATCH/hf"), ("SCRATCH", "/scratch/ada")]), Path::new("/scratch/ada/hf/hub"));
        assert_eq!(cache(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/hf")]), Path::new("/old"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "~"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/home/ada"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "${HF_HOME}x/$NONE/$"), ("HF_HOME", "/hf")]), Path::new("/hfx/$NONE/$"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), Path::new("/home/ada/.cache/huggingface/hub"), "empty is unset");
        let homeless = Environment::read(|_| None, None);
        assert!(matches!(homeless, Err(HubError::NoCache)));
    }

    #[test]
    fn tokens_are_trimmed_and_checked_and_the_first_counts() {
        let token = |variables: &[(&str, &str)]| read(variables).unwrap().token;
        assert_eq!(token(&[("HF_TOKEN", " hf_a\n"), ("HUGGING_FACE_HUB_TOKEN", "hf_b")]).as_deref(), Some("hf_a"));
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "hf_b\r\n")]).as_deref(), Some("hf_b"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "hf_c\n").unwrap();
        let (home, file) = (folder.path().to_str().unwrap(), path.to_str().unwrap());
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_c"));
        assert_eq!(token(&[("HF_TOKEN_PATH", file)]).as_deref(), Some("hf_c"));
        assert_eq!(token(&[("HF_TOKEN_PATH", file), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN", "\n"), ("HF_TOKEN_PATH", "/nowhere")]), None);
        fs::write(&path, "hf_c\nhf_d\n").unwrap();
        for (variables, says) in [
            (vec![("HF_TOKEN", "hf_\u{e4}")], "HF_TOKEN holds a token whose character 4"),
            (vec![("HUGGING_FACE_HUB_TOKEN", "hf a")], "HUGGING_FACE_HUB_TOKEN holds a token whose character 3"),
            (vec![("HF_TOKEN_PATH", file)], "token holds a token whose character 5"),
            (vec![("HF_ENDPOINT", "huggingface.co")], "HF_ENDPOINT holds \"huggingface.co\", which is not an address"),
            (vec![("HF_ENDPOINT", "https://a b")], "HF_ENDPOINT holds \"https://a b\", an address with blanks"),
        ] {
            let message = read(&variables).unwrap_err().to_string();
            assert!(message.contains(says) && !message.contains("hf_"), "{message}");
        }
    }

    #[test]
    fn yes_is_said_in_four_ways() {
        for (value, expected) in
            [("1", true), ("on", true), ("Yes", true), (" true ", true), ("0", false), ("no", false)]
        {
            let read = read(&[("TRANSFORMERS_OFFLINE", value), ("HF_HUB_DISABLE_SYMLINKS", value)]).unwrap();
            assert_eq!((read.offline.is_some(), read.symlinks), (expected, !expected), "{value}");
        }
        assert_eq!(
            read(&[("HF_HUB_OFFLINE", "1"), ("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline,
            Some("HF_HUB_OFFLINE")
        );
    }
}
