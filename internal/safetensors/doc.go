// Package safetensors reads and writes the safetensors file format, the form in
// which trained weights leave and enter this project.
//
// A file is an 8-byte little-endian header length, a JSON header and raw
// little-endian values, one tensor after another without gaps:
//
//	{"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
//
// Offsets count from the end of the header. The format is public and read by
// most numeric libraries: https://huggingface.co/docs/safetensors (format
// section). docs/format/weights.md in this repository holds the exact rules.
//
// [Open] reads the header only; values are read when asked for, straight into
// the memory they are wanted in ([File.ReadInto]). Everything a header says is
// checked before anything is allocated by it, so a hostile file costs at most
// the memory of its own header. [Write] is deterministic: equal tensors and
// metadata give equal bytes.
package safetensors
