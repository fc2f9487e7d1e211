//! The JSON Schema of the configuration file, for editors that complete and check it. It
//! follows from the same declarations as the reader (`setting::table`).

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::config::file::FileTable;

/// The JSON Schema (draft 2020-12) of a configuration file.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<FileTable>();
    schema.insert("title".to_owned(), "sluice configuration".into());
    schema.to_value()
}
