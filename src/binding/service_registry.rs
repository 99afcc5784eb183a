//! `ServiceRegistry`, the JavaScript class.

use napi::bindgen_prelude::*;
use napi_derive::napi;

use super::error::{Outcome, throw};
use super::options::{self, Reader};
use super::remote_calls::json;
use super::value::{Type, Value};
use crate::error::Error;
use crate::remote::{self, RegistryOptions};

/// Names of services and the endpoints behind them: given as they are, or from a YAML or JSON file that is watched for changes.
///
/// An endpoint is `host:port`, a URL, or `dns:name:port` for every address of a name. Clients take a registry and a name in place of a
/// host: `{ registry, service: 'vad' }`.
#[napi]
pub struct ServiceRegistry {
    registry: remote::ServiceRegistry,
}

impl ServiceRegistry {
    /// The registry behind a JavaScript value, if it is one.
    pub fn of(value: Value) -> Option<remote::ServiceRegistry> {
        instance::<Self>(value).map(|instance| instance.registry.clone())
    }
}

/// The native object behind a JavaScript value, if it is of this class.
pub fn instance<T>(value: Value) -> Option<ClassInstance<'static, T>>
where
    ClassInstance<'static, T>: FromNapiValue + ValidateNapiValue,
{
    // SAFETY: the value is live; the type is checked before the value is taken for an instance of it.
    let found = unsafe {
        ClassInstance::<T>::validate(value.env, value.raw).ok().and_then(|_| ClassInstance::<T>::from_napi_value(value.env, value.raw).ok())
    };
    let _ = Value::take_exception(value.env);
    found
}

fn make(source: Value, given: Value) -> Outcome<ServiceRegistry> {
    let mut reader = Reader::new(given, "")?;
    let given = RegistryOptions { expand_env: reader.boolean("expandEnv")? };
    reader.finish()?;
    let registry = match source.get_type() {
        Type::String => remote::ServiceRegistry::file(source.text().unwrap_or_default(), given)?,
        Type::Object => remote::ServiceRegistry::fixed(&options::json(source, "services")?)?,
        other => {
            let problem = format!("must be an object of endpoints by name, or the path of a file, got {}", other.name());
            return Err(Error::config("services", problem).into());
        }
    };
    Ok(ServiceRegistry { registry })
}

#[napi]
impl ServiceRegistry {
    /// Reads the names; of a file, its first state.
    ///
    /// @param services Endpoints by name, each a text, a list of texts, or `{ endpoints }`; or the path of a YAML or JSON file of the same.
    /// @throws `ConfigurationError` (`ERR_CONFIG`) that names the file, the name and what is wrong there.
    #[napi(constructor, ts_args_type = "services: Record<string, string | string[]> | string, options?: { expandEnv?: boolean }")]
    pub fn new(env: Env, services: Unknown<'_>, options: Unknown<'_>) -> napi::Result<Self> {
        let raw = env.raw();
        let [services, given] = [services.raw(), options.raw()].map(|value| Value { env: raw, raw: value });
        make(services, given).map_err(|failure| throw(raw, failure))
    }

    /// The names and their endpoints as they are now.
    #[napi(ts_return_type = "Record<string, string[]>")]
    pub fn services<'env>(&self, env: Env) -> napi::Result<Unknown<'env>> {
        json(env.raw(), self.registry.describe()).map(Value::unknown).map_err(|thrown| throw(env.raw(), thrown.into()))
    }

    /// Stops watching the file. Clients keep the endpoints that they know.
    #[napi]
    pub fn close(&self) {
        self.registry.close();
    }
}
