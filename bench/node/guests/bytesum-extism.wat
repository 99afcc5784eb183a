;; What wasm-modules/modules/bytesum does, for Extism: reads every input byte, returns their sum as eight bytes.
;; It reads eight bytes per host call, as Extism's own guest kits do.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory (export "memory") 1)
  (func (export "bytesum") (result i32)
    (local $at i64) (local $length i64) (local $word i64) (local $sum i64) (local $out i64)
    (local.set $length (call $input_length))
    (block $words_done
      (loop $words
        (br_if $words_done (i64.gt_u (i64.add (local.get $at) (i64.const 8)) (local.get $length)))
        (local.set $word (call $input_load_u64 (local.get $at)))
        ;; Bytes in pairs into four 16-bit sums, then a multiplication adds those up in the top 16 bits.
        (local.set $word
          (i64.add
            (i64.and (local.get $word) (i64.const 0x00ff00ff00ff00ff))
            (i64.and (i64.shr_u (local.get $word) (i64.const 8)) (i64.const 0x00ff00ff00ff00ff))))
        (local.set $sum
          (i64.add (local.get $sum)
            (i64.shr_u (i64.mul (local.get $word) (i64.const 0x0001000100010001)) (i64.const 48))))
        (local.set $at (i64.add (local.get $at) (i64.const 8)))
        (br $words)))
    (block $bytes_done
      (loop $bytes
        (br_if $bytes_done (i64.ge_u (local.get $at) (local.get $length)))
        (local.set $sum (i64.add (local.get $sum) (i64.extend_i32_u (call $input_load_u8 (local.get $at)))))
        (local.set $at (i64.add (local.get $at) (i64.const 1)))
        (br $bytes)))
    (local.set $out (call $alloc (i64.const 8)))
    (call $store_u64 (local.get $out) (local.get $sum))
    (call $output_set (local.get $out) (i64.const 8))
    (i32.const 0)))
