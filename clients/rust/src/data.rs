//! The payload of a message, owned.

use std::fmt;
use std::sync::Arc;

use corewire_protocol::native;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a message carries. A clone costs no copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// One JSON value, as it was written.
    Json(Arc<str>),
    /// Text. Over the JSON dialect it arrives as a JSON string.
    Text(Arc<str>),
    /// Bytes.
    Bytes(Arc<[u8]>),
}

/// What is not JSON, or not of the shape that was asked for.
#[derive(Debug)]
pub struct DataError(serde_json::Error);

impl Data {
    /// A value as JSON.
    ///
    /// # Errors
    ///
    /// JSON cannot say it, such as a map whose keys are no strings.
    pub fn json(value: &impl Serialize) -> Result<Self, DataError> {
        let text = serde_json::to_string(value).map_err(DataError)?;
        Ok(Self::Json(text.into()))
    }

    /// Text that is one JSON value already.
    ///
    /// # Errors
    ///
    /// It is not, and where.
    pub fn from_json_text(text: &str) -> Result<Self, DataError> {
        let _: serde::de::IgnoredAny = serde_json::from_str(text).map_err(DataError)?;
        Ok(Self::Json(text.trim().into()))
    }

    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// It is not JSON, or of another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        serde_json::from_slice(self.as_bytes()).map_err(DataError)
    }

    /// The bytes as they were published.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) | Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The same as text, unless it is bytes. JSON stands as it was written.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Json(text) | Self::Text(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }

    /// Bytes of the value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn read(data: native::Data<'_>) -> Self {
        match data {
            native::Data::Json(text) => Self::Json((&*text).into()),
            native::Data::Text(text) => Self::Text((&*text).into()),
            native::Data::Bytes(bytes) => Self::Bytes((&*bytes).into()),
        }
    }

    pub(crate) fn word(&self) -> native::Data<'_> {
        match self {
            Self::Json(text) => native::Data::Json((&**text).into()),
            Self::Text(text) => native::Data::Text((&**text).into()),
            Self::Bytes(bytes) => native::Data::Bytes((&**bytes).into()),
        }
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<serde_json::Value> for Data {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value.to_string().into())
    }
}

/// JSON stands as it was written, text as it is; bytes that are no UTF-8 are replaced.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(text) | Self::Text(text) => f.write_str(text),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the JSON that is needed: {}", self.0)
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
