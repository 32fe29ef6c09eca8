package registry

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// FormatVersion is the form of version folder that is written. It rises when an
// older reader would misunderstand a folder, not when a field is added.
const FormatVersion = 1

// Names of the files that the rooms above agree on. A version may hold others.
const (
	WeightsFile    = "weights.safetensors"
	RerankerFile   = "reranker.safetensors"
	VocabFile      = "vocab.txt"
	PopularFile    = "popular"
	ItemsFile      = "items.ndjson"
	ReportHTMLFile = "report.html"
	ReportJSONFile = "report.json"
	ErasuresFile   = "erasures.ndjson"
	GoldenFile     = "golden.ndjson"
)

const (
	manifestFile = "manifest.json"
	checksumFile = "manifest.sha256"

	// maxManifest bounds what is read of a manifest, in bytes.
	maxManifest = 4 << 20
	// maxFiles bounds the files of a version.
	maxFiles = 1000
)

// Manifest says what a version is. Config and Metrics belong to the rooms that
// write them; the registry keeps them as they are. Fields this program does not
// know are ignored on reading.
type Manifest struct {
	FormatVersion int             `json:"format_version"` // set by Publish
	Version       string          `json:"version"`        // set by Publish
	Name          string          `json:"name,omitempty"` // what people call the model
	Created       time.Time       `json:"created"`        // RFC 3339; set by Publish when zero
	Kind          string          `json:"kind"`           // "seqmodel" or "baseline"; says who can load it
	Config        json.RawMessage `json:"config,omitempty"`
	Items         int             `json:"items"`                  // size of the catalogue
	VocabSHA256   string          `json:"vocab_sha256,omitempty"` // hex; set by Publish where the version has a VocabFile
	Data          Data            `json:"data,omitzero"`
	Split         string          `json:"split,omitempty"`       // how the data was cut
	TargetHash    string          `json:"target_hash,omitempty"` // which test targets were ranked
	Seed          uint64          `json:"seed"`
	Revision      string          `json:"revision,omitempty"` // of the source
	CPU           string          `json:"cpu,omitempty"`      // instruction set that trained it
	Metrics       json.RawMessage `json:"metrics,omitempty"`
	Reranker      *Reranker       `json:"reranker,omitempty"` // how RerankerFile is used; nil when the version has none
	Night         string          `json:"night,omitempty"`    // the nightly run that made it
	Erased        *Erased         `json:"erased,omitempty"`   // what the data leaves out; nil when nobody said
	Files         map[string]File `json:"files"`              // set by Publish; all files but the manifest and its checksum
}

// Data says what a model was trained on.
type Data struct {
	Source string    `json:"source,omitempty"`
	Events int       `json:"events,omitempty"`
	Users  int       `json:"users,omitempty"`
	From   time.Time `json:"from,omitzero"` // first event; zero when the source has no times
	To     time.Time `json:"to,omitzero"`   // last event
	// TrainTo is the last event that was learned from; those after it judged.
	TrainTo time.Time `json:"train_to,omitzero"`
}

// Erased proves which erasures of users the data obeys: the receipts in
// ErasuresFile, whose SHA-256 is repeated here. Who holds a receipt finds it in
// that file; who holds the list of all can compute the hash again.
type Erased struct {
	Receipts int    `json:"receipts"` // in ErasuresFile
	SHA256   string `json:"sha256"`   // of ErasuresFile
	Users    int    `json:"users"`    // whose events the sources still held
	Events   int    `json:"events"`   // such events, left out
}

// File is the size and the hash of one file of a version.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // 64 lower-case hex digits
}

// Bytes gives the size of all files together.
func (m *Manifest) Bytes() int64 {
	var sum int64
	for _, f := range m.Files {
		sum += f.Bytes
	}
	return sum
}

// validFileName says what a file in a version may be called: one path element that
// means the same on every system and is neither hidden nor a way out of the folder.
func validFileName(name string) bool {
	if name == manifestFile || name == checksumFile || len(name) > 100 {
		return false
	}
	for i, c := range []byte(name) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return name != ""
}

// encodeManifest gives the bytes of manifest.json, the same for equal manifests.
func encodeManifest(m Manifest) ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	data = append(data, '\n')
	if len(data) > maxManifest {
		return nil, fmt.Errorf("encode manifest: %d bytes are more than the %d allowed", len(data), maxManifest)
	}
	return data, nil
}

// parseManifest reads manifest.json. path is for the messages. The second result
// lists all that is wrong; when it is not empty the manifest is only good for
// display.
func parseManifest(path string, data []byte) (Manifest, Faults) {
	corrupt := func(detail string, args ...any) *Fault {
		return &Fault{Path: path, Kind: ErrCorrupt, Detail: fmt.Sprintf(detail, args...), Mend: mendVersion}
	}
	// The version comes first and alone: of a newer form nothing else need be
	// as this program expects it.
	var head struct {
		FormatVersion int `json:"format_version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return Manifest{}, Faults{corrupt("%v", err)}
	}
	if head.FormatVersion > FormatVersion {
		return Manifest{FormatVersion: head.FormatVersion}, Faults{{
			Path: path, Kind: ErrNewerFormat, Mend: mendNewer,
			Detail: fmt.Sprintf("format version %d, this program reads up to %d", head.FormatVersion, FormatVersion),
		}}
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, Faults{corrupt("%v", err)}
	}
	var faults Faults
	for _, detail := range m.problems() {
		faults = append(faults, corrupt("%s", detail))
	}
	return m, faults
}

// problems lists what makes a manifest unusable, whatever is on the disk.
func (m *Manifest) problems() []string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if m.FormatVersion < 1 {
		add("format version %d has never existed", m.FormatVersion)
	}
	if !validVersion(m.Version) {
		add("%q is not a version name", m.Version)
	}
	if m.Kind == "" {
		add("the kind of model is missing")
	}
	if m.Items < 0 {
		add("%d items", m.Items)
	}
	if e := m.Erased; e != nil && (e.SHA256 != m.Files[ErasuresFile].SHA256 || e.Receipts < 0 || e.Users < 0 || e.Events < 0) {
		add("erased %+v does not fit the file %s", *e, ErasuresFile)
	}
	list = append(list, m.rerankerProblems()...)
	if m.VocabSHA256 != "" && !validSHA256(m.VocabSHA256) {
		add("vocab_sha256 %q is not a SHA-256", m.VocabSHA256)
	}
	if len(m.Files) == 0 {
		add("no files are listed")
	}
	if len(m.Files) > maxFiles {
		add("%d files are listed, more than %d", len(m.Files), maxFiles)
		return list
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		f := m.Files[name]
		switch {
		case !validFileName(name):
			add("%q is not a name for a file in a version", name)
		case f.Bytes < 0:
			add("file %q has %d bytes", name, f.Bytes)
		case !validSHA256(f.SHA256):
			add("file %q has %q for a SHA-256", name, f.SHA256)
		}
	}
	return list
}

// validSHA256 reports whether s is a hash in the one spelling that is written.
func validSHA256(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && hex.EncodeToString(raw) == s
}

// encodeChecksum gives the bytes of manifest.sha256, as sha256sum prints them.
func encodeChecksum(sum string) []byte {
	return []byte(sum + "  " + manifestFile + "\n")
}

// parseChecksum reads manifest.sha256 and reports whether it has that form.
func parseChecksum(data []byte) (sum string, ok bool) {
	sum, _, _ = strings.Cut(string(data), " ")
	return sum, validSHA256(sum) && bytes.Equal(data, encodeChecksum(sum))
}
