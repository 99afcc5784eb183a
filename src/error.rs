//! One error type for the whole crate, and the one table from it to what JavaScript sees.
//!
//! Problem: a failure may start in a guest, a host function, a file or an option, and the caller in JavaScript needs a stable `code`, the
//! right class and a sentence that a person understands. Answer: every floor returns [`Error`]; its [`Code`] alone decides the JavaScript
//! class and whether a retry can help, so no floor above has to match on texts. This file does not build JavaScript objects: that is
//! `binding/error.rs`.

use std::fmt;

/// Result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $class:ident, $retryable:literal;)*) => {
        /// Stable error codes; the variant's text is the `code` property in JavaScript.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the table. Tests walk it.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The text that JavaScript sees as `error.code`.
            pub fn as_str(self) -> &'static str { match self { $(Code::$variant => $text,)* } }

            /// The code with this text.
            pub fn from_text(text: &str) -> Option<Self> { Self::ALL.iter().copied().find(|code| code.as_str() == text) }

            /// The JavaScript class that carries this code.
            pub fn class(self) -> Class { match self { $(Code::$variant => Class::$class,)* } }

            /// Whether the same call may well succeed when tried again.
            pub fn retryable(self) -> bool { match self { $(Code::$variant => $retryable,)* } }
        }
    };
}

codes! {
    /// The module's file does not exist or cannot be read.
    ModuleNotFound = "ERR_MODULE_NOT_FOUND", Node, false;
    /// The bytes are no WebAssembly module that this engine accepts.
    ModuleInvalid = "ERR_MODULE_INVALID", Node, false;
    /// The module does not keep to the guest ABI.
    Abi = "ERR_ABI", Node, false;
    /// The module imports something that the node was not granted.
    ImportDenied = "ERR_IMPORT_DENIED", Node, false;
    /// The guest trapped; `trap` says how.
    WasmTrap = "ERR_WASM_TRAP", Node, false;
    /// The guest ran past its time per item.
    WasmTimeout = "ERR_WASM_TIMEOUT", Node, true;
    /// The guest used up its fuel.
    WasmFuel = "ERR_WASM_FUEL", Node, false;
    /// The guest wanted more memory than it may have.
    WasmMemory = "ERR_WASM_MEMORY", Node, false;
    /// The outputs of one item exceed `maxOutputBytes`.
    OutputTooLarge = "ERR_OUTPUT_TOO_LARGE", Node, false;
    /// The guest itself reported a failure.
    Guest = "ERR_GUEST", Node, false;
    /// A host function of the application failed.
    HostFunction = "ERR_HOST_FUNCTION", Node, false;
    /// A node of the application failed.
    NodeFailed = "ERR_NODE", Node, false;
    /// A pipeline cannot do what was asked of it.
    Pipeline = "ERR_PIPELINE", Pipeline, false;
    /// No instance is free and the queue for one is full.
    PoolExhausted = "ERR_POOL_EXHAUSTED", Node, true;
    /// The session cannot go on: evicted, or its instance was lost.
    Session = "ERR_SESSION", Node, true;
    /// A guest asked for a service that its node's whitelist does not name.
    ServiceUnknown = "ERR_SERVICE_UNKNOWN", RemoteExecution, false;
    /// The remote side answered with an error.
    Remote = "ERR_REMOTE", RemoteExecution, false;
    /// The remote side cannot be reached.
    Unavailable = "ERR_UNAVAILABLE", RemoteExecution, true;
    /// The circuit breaker of the remote side is open.
    BreakerOpen = "ERR_BREAKER_OPEN", RemoteExecution, true;
    /// The deadline of a call passed.
    Deadline = "ERR_DEADLINE", RemoteExecution, true;
    /// A payload cannot be converted.
    Serialization = "ERR_SERIALIZATION", Serialization, false;
    /// An option or an argument is wrong; `path` names it.
    Config = "ERR_CONFIG", Configuration, false;
    /// The object was closed before.
    Closed = "ERR_CLOSED", Node, false;
    /// The caller's `AbortSignal`; JavaScript sees the signal's own reason instead of this error.
    Aborted = "ERR_ABORTED", Node, false;
    /// A fault of this library itself.
    Internal = "ERR_INTERNAL", Node, false;
}

/// The JavaScript error classes, all below `RemoteMediaError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `NodeError`
    Node,
    /// `PipelineError`
    Pipeline,
    /// `RemoteExecutionError`
    RemoteExecution,
    /// `SerializationError`
    Serialization,
    /// `ConfigurationError`
    Configuration,
}

impl Class {
    /// The class's name in JavaScript.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Node => "NodeError",
            Class::Pipeline => "PipelineError",
            Class::RemoteExecution => "RemoteExecutionError",
            Class::Serialization => "SerializationError",
            Class::Configuration => "ConfigurationError",
        }
    }
}

/// How a guest trapped; the text is the `trap` property in JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A load or store outside the memory.
    OutOfBounds,
    /// Integer division by zero.
    DivideByZero,
    /// Integer overflow in a division or conversion.
    IntegerOverflow,
    /// A float that no integer can hold.
    InvalidConversion,
    /// `unreachable` was reached: a panic or abort of the guest.
    Unreachable,
    /// A call or access outside a table.
    TableOutOfBounds,
    /// An indirect call of a wrong type or through an empty slot.
    IndirectCall,
    /// Recursion past the guest's stack.
    StackOverflow,
    /// A pointer or length given to a host function lies outside the memory.
    BadPointer,
    /// The guest ended itself (`proc_exit`).
    Exit,
    /// Any other trap.
    Other,
}

impl Trap {
    /// The text that JavaScript sees as `error.trap`.
    pub fn as_str(self) -> &'static str {
        match self {
            Trap::OutOfBounds => "out-of-bounds",
            Trap::DivideByZero => "divide-by-zero",
            Trap::IntegerOverflow => "integer-overflow",
            Trap::InvalidConversion => "invalid-conversion",
            Trap::Unreachable => "unreachable",
            Trap::TableOutOfBounds => "table-out-of-bounds",
            Trap::IndirectCall => "indirect-call",
            Trap::StackOverflow => "stack-overflow",
            Trap::BadPointer => "bad-pointer",
            Trap::Exit => "exit",
            Trap::Other => "other",
        }
    }
}

/// A failure: a code, a sentence, and what is known about where it happened.
///
/// Boxed inside, so that a `Result` on the hot path stays two words.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    path: Option<String>,
    trap: Option<Trap>,
    node: Option<String>,
    session: Option<String>,
    state_lost: bool,
    remote: Option<Box<RemoteDetails>>,
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

/// What a remote side said about a failure, beyond the sentence for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteDetails {
    /// The gRPC status code, 1 to 16, when the failure came as one; `grpcCode` in JavaScript.
    pub grpc_code: Option<i32>,
    /// Its name, such as `UNAVAILABLE`; `grpcStatus` in JavaScript.
    pub grpc_status: Option<&'static str>,
    /// The remote's own category, such as `VALIDATION`.
    pub category: Option<String>,
    /// The remote's whole text, where the message is a short form of it.
    pub details: Option<String>,
    /// The remote's traceback; `remoteTraceback` in JavaScript.
    pub traceback: Option<String>,
}

impl Error {
    /// An error of this code with a sentence for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            path: None,
            trap: None,
            node: None,
            session: None,
            state_lost: false,
            remote: None,
            source: None,
        }))
    }

    /// A wrong option: `path` is its dotted path in the caller's own object, such as `pool.max`.
    pub fn config(path: impl Into<String>, problem: impl fmt::Display) -> Self {
        let path = path.into();
        let message = if path.is_empty() { problem.to_string() } else { format!("{path}: {problem}") };
        let mut error = Self::new(Code::Config, message);
        error.0.path = Some(path);
        error
    }

    /// A trap of the guest.
    pub fn trap(trap: Trap, message: impl Into<String>) -> Self {
        let mut error = Self::new(Code::WasmTrap, message);
        error.0.trap = Some(trap);
        error
    }

    /// Keeps what caused this error.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(std::sync::Arc::new(source));
        self
    }

    /// Keeps what the remote side said.
    #[must_use]
    pub fn with_remote(mut self, details: RemoteDetails) -> Self {
        self.0.remote = Some(Box::new(details));
        self
    }

    /// The same failure in the words of somebody whom it hit, who is put first; this error becomes the cause. Where it shows is left open.
    #[must_use]
    pub fn retold(self, words: Option<&str>) -> Self {
        let mut outer = self.clone();
        match words {
            None => {}
            // They tell it in full already.
            Some(words) if words.contains(self.message()) => words.clone_into(&mut outer.0.message),
            Some(words) => outer.0.message = format!("{words}: {}", self.message()),
        }
        (outer.0.node, outer.0.session) = (None, None);
        outer.because(self)
    }

    /// Says in which node it happened; the first to say so wins.
    #[must_use]
    pub fn in_node(mut self, node: &str) -> Self {
        self.0.node.get_or_insert_with(|| node.to_owned());
        self
    }

    /// Says in which session it happened; the first to say so wins.
    #[must_use]
    pub fn in_session(mut self, session: &str) -> Self {
        self.0.session.get_or_insert_with(|| session.to_owned());
        self
    }

    /// Puts a prefix before the option's path: `max` becomes `pool.max`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        if let Some(path) = &mut self.0.path {
            let full = if path.is_empty() { prefix.to_owned() } else { format!("{prefix}.{path}") };
            self.0.message = self.0.message.replacen(path.as_str(), &full, 1);
            *path = full;
        }
        self
    }

    /// Marks that the session's guest state went with this error, and says so in the message.
    #[must_use]
    pub fn state_lost(mut self) -> Self {
        if !self.0.state_lost {
            self.0.state_lost = true;
            self.0.message.push_str("; the session's state was lost, its next item starts a new instance");
        }
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }
    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// Dotted path of the wrong option, for [`Code::Config`].
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }
    /// The kind of trap, for [`Code::WasmTrap`].
    pub fn trap_kind(&self) -> Option<Trap> {
        self.0.trap
    }
    /// Name of the node it happened in.
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }
    /// Session it happened in.
    pub fn session(&self) -> Option<&str> {
        self.0.session.as_deref()
    }
    /// What the remote side said, for errors that came from one.
    pub fn remote(&self) -> Option<&RemoteDetails> {
        self.0.remote.as_deref()
    }
    /// Whether the session's guest state was lost with it.
    pub fn is_state_lost(&self) -> bool {
        self.0.state_lost
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
