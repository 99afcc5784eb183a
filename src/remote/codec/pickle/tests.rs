//! Pickles written by hand: the forms that other programs than Python use, and those that break the rules.

use bytes::Bytes;

use super::loads;
use crate::error::{Code, Result};
use crate::remote::codec::limits::Budget;
use crate::remote::codec::value::{NdArray, PyValue};

fn read(pickle: &[u8]) -> Result<PyValue> {
    loads(&Bytes::copy_from_slice(pickle), &mut Budget::for_message(pickle.len()))
}

fn array(pickle: &[u8]) -> NdArray {
    match read(pickle).map(|value| if let PyValue::Array(array) = value { array.into_standard() } else { panic!("{value:?} is no array") }) {
        Ok(Ok(array)) => array,
        Ok(Err(error)) | Err(error) => panic!("{error}"),
    }
}

#[test]
fn every_spelling_of_an_array_is_read() {
    // numpy.ndarray((1, 2), '<f4', b'........')
    let constructor = array(b"\x80\x02cnumpy\nndarray\n(K\x01K\x02\x86X\x03\0\0\0<f4C\x08\0\0\0\x3f\0\0\x80\x3ftR.");
    assert_eq!((constructor.dtype.to_string(), &constructor.shape[..], constructor.data.len()), ("<f4".into(), &[1, 2][..], 8));
    // numpy.frombuffer(b'....', 'float32'), and without a type
    let flat = array(b"cnumpy\nfrombuffer\n(C\x08\0\0\0\x3f\0\0\x80\x3fX\x07\0\0\0float32tR.");
    assert_eq!((flat.dtype.to_string(), &flat.shape[..]), ("<f4".into(), &[2][..]));
    let doubles = array(b"cnumpy\nfrombuffer\n(C\x080000\0\0\0\0tR.");
    assert_eq!((doubles.dtype.to_string(), &doubles.shape[..]), ("<f8".into(), &[1][..]));
    // A shape that is one number.
    assert_eq!(array(b"cnumpy\nndarray\n(K\x02X\x02\0\0\0u1C\x02abtR.").shape, [2]);
    // What protocol 5 writes for exchanged dimensions since numpy 2.3: shape (2, 3), axes (1, 0).
    let exchanged = array(b"cnumpy._core.numeric\n_frombuffer\n(C\x06abcdefX\x02\0\0\0u1K\x02K\x03\x86X\x01\0\0\0KK\x01K\0\x86tR.");
    assert_eq!((&exchanged.shape[..], &exchanged.data[..]), (&[3, 2][..], &b"adbecf"[..]));
    // Python 2: bytes are `str`.
    let old = array(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02i2K\0K\x01\x87R(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89U\x04\0\x01\0\x02tb.");
    assert_eq!((old.dtype.to_string(), &old.data[..]), ("<i2".into(), &[1, 0, 2, 0][..]));
}

#[test]
fn python_2_and_rare_opcodes_are_read() {
    let old = PyValue::List(vec![PyValue::Bool(true), PyValue::Int(7), PyValue::Int(8), PyValue::Float(1.5), "aA".into(), "b€".into()]);
    assert_eq!(read(b"(lp1\nI01\naI7\naL8L\naF1.5\naS'a\\x41'\naVb\\u20ac\na.").unwrap(), old);
    let cycle = read(b"(lp1\nI01\nag1\na.").unwrap_err();
    assert!(cycle.message().contains("contains itself"), "{cycle}");
    assert_eq!(
        read(b"(I00\nI-7\nL-8L\nF-inf\nt.").unwrap(),
        PyValue::Tuple(vec![PyValue::Bool(false), PyValue::Int(-7), PyValue::Int(-8), PyValue::Float(f64::NEG_INFINITY)])
    );
    assert_eq!(
        read(b"(S'a\\x41'\nU\x02\xff\xfeT\x02\0\0\0okl.").unwrap(),
        PyValue::List(vec!["aA".into(), PyValue::Bytes(Bytes::from_static(b"\xff\xfe")), "ok".into()])
    );
    assert_eq!(read(b"(K\x01K\x02d.").unwrap(), PyValue::Dict(vec![(PyValue::Int(1), PyValue::Int(2))]));
    assert_eq!(read(b"ccollections\nOrderedDict\n(((K\x01K\x02lltR.").unwrap(), PyValue::Dict(vec![(PyValue::Int(1), PyValue::Int(2))]));
    assert_eq!(read(b"c__builtin__\nbytearray\n(X\x02\0\0\0a\xc3\xbfX\x07\0\0\0latin-1tR.").map_err(|error| error.code()), Err(Code::Serialization));
    assert_eq!(read(b"c__builtin__\nbytearray\n(X\x03\0\0\0a\xc3\xbfX\x07\0\0\0latin-1tR.").unwrap(), PyValue::Bytes(Bytes::from_static(b"a\xff")));
    // POP, DUP, POP_MARK, POP of a MARK, and PUT with gaps.
    assert_eq!(read(b"K\x01K\x020(K\x03K\x0412\x86.").unwrap(), PyValue::Tuple(vec![PyValue::Int(1), PyValue::Int(1)]));
    assert_eq!(read(b"K\x01(0.").unwrap(), PyValue::Int(1));
    assert_eq!(
        read(b"K\x01r\xff\xff\xff\xff0K\x02q\x070j\xff\xff\xff\xffh\x07\x86.").unwrap(),
        PyValue::Tuple(vec![PyValue::Int(1), PyValue::Int(2)])
    );
    // A key that stands twice counts with its last value.
    assert_eq!(read(b"}(X\x01\0\0\0aK\x01X\x01\0\0\0aK\x02u.").unwrap().get("a"), Some(&PyValue::Int(2)));
}

#[test]
fn what_breaks_the_rules_is_refused_and_says_why() {
    let cases: [(&[u8], &str); 36] = [
        (b"", "ends too early"),
        (b".", "more from its stack"),
        (b"N", "ends too early"),
        (b"(.", "more from its stack"),
        (b"N(.", "more from its stack"),
        (b"K\x01K\x02(\x86.", "more from its stack"),
        (b"0.", "more from its stack"),
        (b"t.", "more from its stack"),
        (b"\xff.", "0xff"),
        (b"\x80\x06N.", "protocol 6"),
        (b"h\x01.", "never remembered"),
        (b"gx\n.", "under no number"),
        (b"NNa.", "no list"),
        (b"](K\x01u.", "no list, dict or set"),
        (b"}(K\x01u.", "key that has no value"),
        (b"(K\x01d.", "key that has no value"),
        (b"cos\nsystem\n(X\x02\0\0\0lstR.", "'os.system'"),
        (b"\x8c\x02os\x8c\x06system\x93.", "'os.system'"),
        (b"NN\x93.", "name that is no str"),
        (b"c__builtin__\neval\n.", "'__builtin__.eval'"),
        (b"cnumpy\nload\n.", "'numpy.load'"),
        (b"(icopy_reg\n_reconstructor\n.", "'copy_reg._reconstructor'"),
        (b"(inumpy\ndtype\n.", "INST"),
        (b"(cnumpy\ndtype\no.", "OBJ"),
        (b"cnumpy\ndtype\n)\x81.", "NEWOBJ"),
        (b"Pid\n.", "PERSID"),
        (b"\x82\x01.", "EXT"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"cnumpy\nndarray\n.", "function or class"),
        (b"K\x01)R.", "calls something that is no name"),
        (b"cnumpy\ndtype\nK\x01R.", "no tuple of arguments"),
        (b"cnumpy\ndtype\n(X\x01\0\0\0OtR.", "dtype O"),
        (b"cnumpy\nndarray\n(K\x05X\x02\0\0\0f4tR.", "0 bytes are no float32 array of shape [5]"),
        (b"cnumpy\nndarray\n(K\x05X\x02\0\0\0f4C\x02abtR.", "2 bytes for a float32 array"),
        (b"N)b.", "gives a state"),
        (b"X\x02\0\0\0\xff\xff.", "no UTF-8"),
    ];
    for (pickle, part) in cases {
        let error = read(pickle).expect_err(&pickle.escape_ascii().to_string());
        assert_eq!(error.code(), Code::Serialization);
        assert!(error.message().contains(part), "{}: {error}", pickle.escape_ascii());
    }
    let long = read(&[b"cos\n".as_slice(), &b"x".repeat(5000), b"\n."].concat()).unwrap_err();
    assert!(long.message().len() < 300, "{long}");
}
