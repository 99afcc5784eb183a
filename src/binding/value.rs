//! JavaScript values as the binding reads and makes them.
//!
//! Problem: options and payloads arrive as untyped values, and a conversion that fails must name the option and throw our own error, on
//! a path that runs for every item. Answer: one small copyable handle with the dozen operations that are needed. It does not know what any
//! value means; `options.rs` and `convert.rs` do.

use std::ptr;

use napi::sys;

/// Shape of a JavaScript value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Undefined,
    Null,
    Boolean,
    Number,
    String,
    Symbol,
    Object,
    Function,
    BigInt,
}

impl Type {
    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Undefined => "undefined",
            Type::Null => "null",
            Type::Boolean => "a boolean",
            Type::Number => "a number",
            Type::String => "a string",
            Type::Symbol => "a symbol",
            Type::Object => "an object",
            Type::Function => "a function",
            Type::BigInt => "a bigint",
        }
    }
}

/// Element type of a typed array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    U8,
    I16,
    F32,
    Other,
}

/// A value, valid as long as the call into native code that it came with.
#[derive(Clone, Copy)]
pub struct Value {
    pub env: sys::napi_env,
    pub raw: sys::napi_value,
}

/// A JavaScript exception is pending, or the engine refused: both end the native call.
#[derive(Debug)]
pub struct Thrown;

/// What only fails by an exception of JavaScript's.
pub type Js<T> = Result<T, Thrown>;

fn ok(status: sys::napi_status) -> Js<()> {
    if status == sys::Status::napi_ok { Ok(()) } else { Err(Thrown) }
}

macro_rules! out {
    ($env:expr, $function:ident, $($arg:expr),*) => {{
        let mut result = ptr::null_mut();
        // SAFETY: the environment is the one of the running call; all arguments are live; the result is written before it is read.
        ok(unsafe { sys::$function($env, $($arg,)* &raw mut result) }).map(|()| Value { env: $env, raw: result })
    }};
}

impl Value {
    pub fn undefined(env: sys::napi_env) -> Self {
        out!(env, napi_get_undefined,).unwrap_or(Self { env, raw: ptr::null_mut() })
    }

    pub fn string(env: sys::napi_env, text: &str) -> Js<Self> {
        out!(env, napi_create_string_utf8, text.as_ptr().cast(), text.len() as isize)
    }

    pub fn number(env: sys::napi_env, number: f64) -> Js<Self> {
        out!(env, napi_create_double, number)
    }

    pub fn boolean(env: sys::napi_env, boolean: bool) -> Js<Self> {
        out!(env, napi_get_boolean, boolean)
    }

    pub fn object(env: sys::napi_env) -> Js<Self> {
        out!(env, napi_create_object,)
    }

    pub fn array(env: sys::napi_env, length: usize) -> Js<Self> {
        out!(env, napi_create_array_with_length, length)
    }

    pub fn global(env: sys::napi_env) -> Js<Self> {
        out!(env, napi_get_global,)
    }

    /// A Node `Buffer` with a copy of the bytes.
    pub fn buffer(env: sys::napi_env, bytes: &[u8]) -> Js<Self> {
        let mut data = ptr::null_mut();
        out!(env, napi_create_buffer_copy, bytes.len(), bytes.as_ptr().cast(), &raw mut data)
    }

    /// An `ArrayBuffer` with a copy of the bytes.
    pub fn array_buffer(env: sys::napi_env, bytes: &[u8]) -> Js<Self> {
        let mut data = ptr::null_mut();
        let value = out!(env, napi_create_arraybuffer, bytes.len(), &raw mut data)?;
        if !bytes.is_empty() {
            // SAFETY: the engine just made a buffer of this size.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast(), bytes.len()) };
        }
        Ok(value)
    }

    pub fn get_type(self) -> Type {
        let mut kind = sys::ValueType::napi_undefined;
        // SAFETY: the value is live.
        unsafe { sys::napi_typeof(self.env, self.raw, &raw mut kind) };
        match kind {
            sys::ValueType::napi_null => Type::Null,
            sys::ValueType::napi_boolean => Type::Boolean,
            sys::ValueType::napi_number => Type::Number,
            sys::ValueType::napi_string => Type::String,
            sys::ValueType::napi_symbol => Type::Symbol,
            sys::ValueType::napi_object | sys::ValueType::napi_external => Type::Object,
            sys::ValueType::napi_function => Type::Function,
            sys::ValueType::napi_bigint => Type::BigInt,
            _ => Type::Undefined,
        }
    }

    pub fn is_undefined(self) -> bool {
        self.get_type() == Type::Undefined
    }

    pub fn is_array(self) -> bool {
        let mut is = false;
        // SAFETY: the value is live.
        unsafe { sys::napi_is_array(self.env, self.raw, &raw mut is) };
        is
    }

    pub fn get(self, key: &str) -> Js<Self> {
        let key = Self::string(self.env, key)?;
        out!(self.env, napi_get_property, self.raw, key.raw)
    }

    pub fn get_with(self, key: Self) -> Js<Self> {
        out!(self.env, napi_get_property, self.raw, key.raw)
    }

    pub fn at(self, index: u32) -> Js<Self> {
        out!(self.env, napi_get_element, self.raw, index)
    }

    pub fn set_at(self, index: u32, value: Self) -> Js<()> {
        // SAFETY: both values are live.
        ok(unsafe { sys::napi_set_element(self.env, self.raw, index, value.raw) })
    }

    pub fn set(self, key: &str, value: Self) -> Js<()> {
        let key = Self::string(self.env, key)?;
        // SAFETY: all values are live.
        ok(unsafe { sys::napi_set_property(self.env, self.raw, key.raw, value.raw) })
    }

    pub fn length(self) -> u32 {
        let mut length = 0;
        // SAFETY: the value is live.
        unsafe { sys::napi_get_array_length(self.env, self.raw, &raw mut length) };
        length
    }

    /// Own enumerable string keys.
    pub fn keys(self) -> Js<Vec<String>> {
        let names = out!(
            self.env,
            napi_get_all_property_names,
            self.raw,
            sys::KeyCollectionMode::own_only,
            sys::KeyFilter::enumerable | sys::KeyFilter::skip_symbols,
            sys::KeyConversion::numbers_to_strings
        )?;
        (0..names.length()).map(|index| names.at(index).map(|name| name.text().unwrap_or_default())).collect()
    }

    pub fn as_number(self) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: the value is live; a value of another type is refused.
        ok(unsafe { sys::napi_get_value_double(self.env, self.raw, &raw mut number) }).ok().map(|()| number)
    }

    pub fn as_boolean(self) -> Option<bool> {
        let mut boolean = false;
        // SAFETY: as above.
        ok(unsafe { sys::napi_get_value_bool(self.env, self.raw, &raw mut boolean) }).ok().map(|()| boolean)
    }

    /// The text of a string; lone surrogates become U+FFFD.
    pub fn text(self) -> Option<String> {
        let mut length = 0;
        // SAFETY: a value of another type is refused; the second call writes at most the length that the first told, and a NUL.
        unsafe {
            ok(sys::napi_get_value_string_utf8(self.env, self.raw, ptr::null_mut(), 0, &raw mut length)).ok()?;
            let mut bytes = vec![0_u8; length + 1];
            ok(sys::napi_get_value_string_utf8(self.env, self.raw, bytes.as_mut_ptr().cast(), bytes.len(), &raw mut length)).ok()?;
            bytes.truncate(length);
            Some(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
        }
    }

    /// The text that JavaScript makes of any value but a symbol.
    pub fn to_text(self) -> Option<String> {
        out!(self.env, napi_coerce_to_string, self.raw).ok()?.text()
    }

    /// The bytes of a typed array, valid until JavaScript runs again.
    pub fn typed_array(&self) -> Option<(Element, &[u8])> {
        let mut is = false;
        // SAFETY: the value is live; the pointer and length are the engine's, and no JavaScript runs while the slice is borrowed.
        unsafe {
            sys::napi_is_typedarray(self.env, self.raw, &raw mut is);
            if !is {
                return None;
            }
            let (mut kind, mut length, mut data, mut buffer, mut offset) = (0, 0, ptr::null_mut(), ptr::null_mut(), 0);
            let status =
                sys::napi_get_typedarray_info(self.env, self.raw, &raw mut kind, &raw mut length, &raw mut data, &raw mut buffer, &raw mut offset);
            ok(status).ok()?;
            let (element, size) = match kind {
                sys::TypedarrayType::uint8_array | sys::TypedarrayType::uint8_clamped_array => (Element::U8, 1),
                sys::TypedarrayType::int16_array => (Element::I16, 2),
                sys::TypedarrayType::float32_array => (Element::F32, 4),
                _ => (Element::Other, 0),
            };
            Some((element, bytes_at(data, length * size)))
        }
    }

    /// The numbers of a `Float64Array`, for as long as somebody keeps it. The caller is the only one that writes to it in native code.
    pub fn numbers(self) -> Option<&'static mut [f64]> {
        let (mut kind, mut length, mut data, mut buffer, mut offset) = (0, 0, ptr::null_mut(), ptr::null_mut(), 0);
        // SAFETY: a value of another type is refused; the memory is aligned for its element type and lives as long as the array.
        unsafe {
            let status =
                sys::napi_get_typedarray_info(self.env, self.raw, &raw mut kind, &raw mut length, &raw mut data, &raw mut buffer, &raw mut offset);
            ok(status).ok()?;
            (kind == sys::TypedarrayType::float64_array).then(|| std::slice::from_raw_parts_mut(data.cast(), length))
        }
    }

    /// The bytes of an `ArrayBuffer`, valid until JavaScript runs again.
    pub fn array_buffer_bytes(&self) -> Option<&[u8]> {
        let mut is = false;
        // SAFETY: as above.
        unsafe {
            sys::napi_is_arraybuffer(self.env, self.raw, &raw mut is);
            if !is {
                return None;
            }
            let (mut data, mut length) = (ptr::null_mut(), 0);
            ok(sys::napi_get_arraybuffer_info(self.env, self.raw, &raw mut data, &raw mut length)).ok()?;
            Some(bytes_at(data, length))
        }
    }

    /// Calls this function.
    pub fn call(self, this: Self, args: &[Self]) -> Js<Self> {
        let mut raw = [ptr::null_mut(); 12];
        for (slot, arg) in raw.iter_mut().zip(args) {
            *slot = arg.raw;
        }
        out!(self.env, napi_call_function, this.raw, self.raw, args.len().min(raw.len()), raw.as_ptr())
    }

    /// Takes the exception that is pending, if any, so that native code may go on.
    pub fn take_exception(env: sys::napi_env) -> Option<Self> {
        let mut pending = false;
        // SAFETY: the environment is the one of the running call.
        unsafe { sys::napi_is_exception_pending(env, &raw mut pending) };
        if pending { out!(env, napi_get_and_clear_last_exception,).ok() } else { None }
    }

    /// The value as JSON text, or `None` for what JSON does not know.
    pub fn to_json(self) -> Js<Option<String>> {
        let json = Self::global(self.env)?.get("JSON")?;
        json.get("stringify")?.call(json, &[self]).map(Self::text)
    }

    /// The value of JSON text.
    pub fn from_json(env: sys::napi_env, text: &str) -> Js<Self> {
        let json = Self::global(env)?.get("JSON")?;
        let text = Self::string(env, text)?;
        json.get("parse")?.call(json, &[text])
    }
}

/// # Safety
/// `data` points to `length` bytes for as long as the caller uses the slice, unless `length` is 0.
unsafe fn bytes_at<'a>(data: *const std::ffi::c_void, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    if length == 0 || data.is_null() { &[] } else { unsafe { std::slice::from_raw_parts(data.cast(), length) } }
}

/// A value that is kept beyond the call; given back with [`Kept::release`] on the same thread.
pub struct Kept {
    raw: sys::napi_ref,
}

impl Kept {
    pub fn new(value: Value) -> Js<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: the value is live.
        ok(unsafe { sys::napi_create_reference(value.env, value.raw, 1, &raw mut raw) })?;
        Ok(Self { raw })
    }

    pub fn get(&self, env: sys::napi_env) -> Js<Value> {
        out!(env, napi_get_reference_value, self.raw)
    }

    pub fn release(self, env: sys::napi_env) {
        // SAFETY: made in this environment, and consumed here.
        unsafe { sys::napi_delete_reference(env, self.raw) };
    }
}

impl Value {
    /// As napi-rs wants it.
    pub fn unknown<'env>(self) -> napi::Unknown<'env> {
        // SAFETY: both are live for the running call.
        unsafe { napi::Unknown::from_raw_unchecked(self.env, self.raw) }
    }
}
