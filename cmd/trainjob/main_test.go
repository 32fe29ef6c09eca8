package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"seqrec/internal/features"
	"seqrec/internal/kernel"
	"seqrec/internal/registry"
)

// world writes a small synthetic data set and gives its folder.
func world(t *testing.T) string {
	t.Helper()
	data, truth := features.World(5, features.WorldOptions{Users: 150, Items: 60, MinLength: 6, MaxLength: 14})
	dir := t.TempDir()
	if err := features.WriteFolder(dir, data, truth.Items); err != nil {
		t.Fatal(err)
	}
	return dir
}

// trainArgs are a run of a second.
func trainArgs(data, reg string, more ...string) []string {
	return append([]string{
		"train", "--data", data, "--registry", reg, "--recipe", "quick", "--width", "16", "--length", "12",
		"--epochs", "3", "--batch-size", "32", "--min-item-count", "0",
	}, more...)
}

// outcome is what a run of the program left.
type outcome struct {
	code        int
	out, errors string
}

func trainjob(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, &out, &errs)
	return outcome{code, out.String(), errs.String()}
}

// must is trainjob for runs that have to end well.
func must(t *testing.T, args ...string) outcome {
	t.Helper()
	o := trainjob(t, args...)
	if o.code != exitDone {
		t.Fatalf("trainjob %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.errors)
	}
	return o
}

// last reads the last line of standard output.
func (o outcome) last(t *testing.T) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimRight(o.out, "\n"), "\n")
	var m map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &m); err != nil {
		t.Fatalf("last line is not JSON: %v\n%s", err, o.out)
	}
	return m
}

// The story of a version: trained, published, current, judged again to the very
// same figures, listed, verified.
func TestTrainThenEvaluate(t *testing.T) {
	data, reg := world(t), filepath.Join(t.TempDir(), "models")
	trained := must(t, trainArgs(data, reg)...).last(t)
	for _, key := range []string{"ndcg@10", "hr@10", "mrr", "epochs", "seconds_per_epoch", "tokens_per_second", "seconds", "peak_rss_bytes", "version"} {
		if _, ok := trained[key]; !ok {
			t.Errorf("train: the last line lacks %q", key)
		}
	}
	if trained["promoted"] != true || trained["epochs"] != 3.0 {
		t.Errorf("trained: %v", trained)
	}
	for _, model := range []string{"current", trained["version"].(string)} {
		o := must(t, "evaluate", "--data", data, "--registry", reg, "--model", model) // cut as the version says
		judged := o.last(t)
		for _, key := range []string{"ndcg@10", "hr@10", "mrr", "epochs", "seconds_per_epoch", "tokens_per_second", "version", "target_hash", "cases"} {
			if judged[key] != trained[key] {
				t.Errorf("evaluate %s: %s is %v, train said %v", model, key, judged[key], trained[key])
			}
		}
	}
	folder := filepath.Join(reg, trained["version"].(string))
	page, err := os.ReadFile(filepath.Join(folder, registry.ReportHTMLFile))
	if err != nil || !bytes.Contains(page, []byte(trained["version"].(string))) || !bytes.Contains(page, []byte("vmis-knn")) {
		t.Errorf("the report lacks the version or the baselines: %v", err)
	}
	items, err := os.ReadFile(filepath.Join(folder, registry.ItemsFile))
	if err != nil || bytes.Count(items, []byte("\n")) < 50 {
		t.Errorf("titles: %v", err)
	}
	if list := must(t, "list", "--registry", reg).out; !strings.Contains(list, "current") {
		t.Errorf("list: %s", list)
	}
	if o := must(t, "validate", "--registry", reg); !strings.Contains(o.out, "is whole") {
		t.Errorf("validate: %s", o.out)
	}
	if left, _ := filepath.Glob(filepath.Join(reg, ".work", "*")); len(left) != 0 {
		t.Errorf("working folders are left: %v", left)
	}
}

func TestEqualSeedsGiveEqualWeights(t *testing.T) {
	data, reg := world(t), t.TempDir()
	a := weightsOf(t, reg, must(t, trainArgs(data, reg, "--seed", "7")...))
	b := weightsOf(t, reg, must(t, trainArgs(data, reg, "--seed", "7", "--workers", "1")...))
	c := weightsOf(t, reg, must(t, trainArgs(data, reg, "--seed", "8")...))
	if a != b {
		t.Error("one seed gave two models")
	}
	if a == c {
		t.Error("two seeds gave one model")
	}
}

// weightsOf is the hash of the weights that a run published.
func weightsOf(t *testing.T, reg string, o outcome) string {
	t.Helper()
	r, err := registry.Open(reg)
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Load(o.last(t)["version"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return v.Manifest.Files[registry.WeightsFile].SHA256
}

// stopper cancels when a word has been written.
type stopper struct {
	mu   sync.Mutex
	word string
	stop context.CancelFunc
	bytes.Buffer
}

func (s *stopper) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(b, []byte(s.word)) {
		s.stop()
	}
	return s.Buffer.Write(b)
}

func TestInterruptedTrainingGoesOn(t *testing.T) {
	data, reg := world(t), t.TempDir()
	want := weightsOf(t, reg, must(t, trainArgs(data, reg)...))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out bytes.Buffer
	errs := &stopper{word: "epoch   2", stop: stop}
	if code := run(ctx, trainArgs(data, reg), &out, errs); code != exitFailed || !strings.Contains(errs.String(), "--resume") {
		t.Fatalf("exit code %d\n%s", code, errs.String())
	}
	if out.Len() != 0 {
		t.Errorf("an interrupted run printed a result: %s", &out)
	}
	if before := kernel.Features(); before != "generic" { // sums in another order would be another run
		t.Setenv("SEQREC_CPU", "generic")
		o := trainjob(t, trainArgs(data, reg, "--resume")...)
		if o.code != exitFailed || !strings.Contains(o.errors, "set SEQREC_CPU="+before) {
			t.Errorf("resumed on another instruction set: exit code %d\n%s", o.code, o.errors)
		}
		t.Setenv("SEQREC_CPU", before)
	}
	o := must(t, trainArgs(data, reg, "--resume")...)
	if !strings.Contains(o.errors, "resumed at epoch 3") {
		t.Errorf("it did not resume:\n%s", o.errors)
	}
	if got := weightsOf(t, reg, o); got != want {
		t.Error("the resumed run has other weights than the one left alone")
	}
}

func TestGateKeepsTheCurrentVersion(t *testing.T) {
	data, reg := world(t), t.TempDir()
	good := must(t, trainArgs(data, reg)...).last(t)["version"].(string)
	// A rate at which nothing is learned.
	o := trainjob(t, trainArgs(data, reg, "--rate", "1e-9", "--epochs", "1", "--promote")...)
	if o.code != exitRefused || !strings.Contains(o.errors, "refused by the quality gate") {
		t.Fatalf("exit code %d\n%s", o.code, o.errors)
	}
	if o.last(t)["promoted"] != false {
		t.Error("the summary says promoted")
	}
	if current := readFile(t, filepath.Join(reg, "current")); strings.TrimSpace(current) != good {
		t.Errorf("current is %s, want %s", current, good)
	}
	// Without --promote the same is no failure: nothing was asked of the gate.
	if o := trainjob(t, trainArgs(data, reg, "--rate", "1e-9", "--epochs", "1")...); o.code != exitDone {
		t.Errorf("exit code %d\n%s", o.code, o.errors)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBaselinesArePublishedLikeModels(t *testing.T) {
	data, reg := world(t), t.TempDir()
	var versions []string
	for _, recipe := range []string{"popularity", "markov", "vmis-knn"} {
		o := must(t, "train", "--data", data, "--registry", reg, "--recipe", recipe, "--min-item-count", "0").last(t)
		v := o["version"].(string)
		versions = append(versions, v)
		judged := must(t, "evaluate", "--data", data, "--registry", reg, "--model", v, "--min-item-count", "0").last(t)
		if judged["ndcg@10"] != o["ndcg@10"] {
			t.Errorf("%s: %v judged again as %v", recipe, o["ndcg@10"], judged["ndcg@10"])
		}
	}
	o := must(t, "compare", versions[1], versions[0], "--data", data, "--registry", reg, "--min-item-count", "0")
	if !strings.Contains(o.errors, "better") || o.last(t)["cases"] != 150.0 {
		t.Errorf("compare:\n%s%s", o.errors, o.out)
	}
	must(t, "promote", versions[1], "--registry", reg)
	if got := strings.TrimSpace(must(t, "rollback", "--registry", reg).out); got != versions[0] {
		t.Errorf("rolled back to %s, want %s", got, versions[0])
	}
	must(t, "promote", "latest", "--registry", reg)
	removed := must(t, "prune", "--registry", reg, "--keep", "0").out
	if strings.TrimSpace(removed) != versions[1] {
		t.Errorf("pruned %q, want only %s: the others are current and the way back", removed, versions[1])
	}
}

// Without flags a version is asked the questions of its report; a flag wins.
func TestEvaluateCutsAsTheVersionSays(t *testing.T) {
	data, reg := world(t), t.TempDir()
	args := func(recipe string) []string {
		return []string{"train", "--data", data, "--registry", reg, "--recipe", recipe, "--min-item-count", "14", "--split", "temporal", "--test-share", "0.2"}
	}
	popular, markov := must(t, args("popularity")...).last(t), must(t, args("markov")...).last(t)
	if popular["data_filter"] != "items >= 14 events" {
		t.Errorf("train: data_filter is %v", popular["data_filter"])
	}
	o := must(t, "evaluate", "--data", data, "--registry", reg, "--model", "latest")
	judged := o.last(t)
	for _, key := range []string{"ndcg@10", "target_hash", "items", "cases", "data_filter", "split"} {
		if judged[key] != markov[key] {
			t.Errorf("evaluate: %s is %v, train said %v", key, judged[key], markov[key])
		}
	}
	if !regexp.MustCompile(`[1-9]\d* left out \(kept: items >= 14 events\)`).MatchString(o.errors) || !strings.Contains(o.errors, "instruction set: "+kernel.Features()) {
		t.Errorf("what was left out, or the instruction set, is not told:\n%s", o.errors)
	}
	if c := must(t, "compare", "latest", popular["version"].(string), "--data", data, "--registry", reg).last(t); c["cases"] != judged["cases"] {
		t.Errorf("compare asked %v cases, evaluate %v", c["cases"], judged["cases"])
	}
	o = must(t, "evaluate", "--data", data, "--registry", reg, "--model", "latest", "--min-item-count", "0", "--split", "leave-one-out")
	if other := o.last(t); other["data_filter"] != "all events" || other["split"] != "leave-one-out" || !strings.Contains(o.errors, "note:") {
		t.Errorf("flags do not win: %v\n%s", other, o.errors)
	}
	if o := trainjob(t, "evaluate", "--data", data, "--registry", reg, "--test-share", "0"); o.code != exitUsage || !strings.Contains(o.errors, "test share") {
		t.Errorf("--test-share 0: exit code %d\n%s", o.code, o.errors)
	}
}

func TestEvaluateReportHoldsTheBaselines(t *testing.T) {
	data, reg := world(t), t.TempDir()
	must(t, "train", "--data", data, "--registry", reg, "--recipe", "markov", "--no-baselines")
	for _, tt := range []struct {
		flag string
		held bool
	}{{"--baselines", true}, {"", true}, {"--no-baselines", false}} {
		dir := t.TempDir()
		args := []string{"evaluate", "--data", data, "--registry", reg, "--report", dir}
		if tt.flag != "" {
			args = append(args, tt.flag)
		}
		must(t, args...)
		page := readFile(t, filepath.Join(dir, "report.html"))
		if got := strings.Contains(page, "vmis-knn") && strings.Contains(page, "popularity"); got != tt.held {
			t.Errorf("%q: baselines in the report: %v", tt.flag, got)
		}
		if !strings.Contains(page, "items &gt;= 5 events") {
			t.Error("the report does not tell the filter")
		}
	}
}

func TestEvaluateOnOtherData(t *testing.T) {
	data, reg := world(t), t.TempDir()
	must(t, trainArgs(data, reg, "--min-item-count", "12")...)
	o := must(t, "evaluate", "--data", data, "--registry", reg, "--min-item-count", "0")
	m := o.last(t)
	if m["unknown_items"].(float64) == 0 || m["unknown_targets"].(float64) == 0 || !strings.Contains(o.errors, "unknown to the model") {
		t.Errorf("unknown items are not told: %v\n%s", m, o.errors)
	}
}

func TestTemporalSplit(t *testing.T) {
	data, reg := world(t), t.TempDir()
	trained := must(t, trainArgs(data, reg, "--split", "temporal", "--test-share", "0.2")...).last(t)
	judged := must(t, "evaluate", "--data", data, "--registry", reg, "--min-item-count", "0", "--split", "temporal", "--test-share", "0.2").last(t)
	if trained["ndcg@10"] != judged["ndcg@10"] || trained["split"] != "temporal" {
		t.Errorf("%v, then %v", trained, judged)
	}
}

// A split that has nothing to ask is found out before training, one that cannot
// choose the epoch is told.
func TestTemporalSplitWithEmptyParts(t *testing.T) {
	// Ten users have 8 events each; the last two tenths of all events are one
	// each, of new users or of the same ten.
	write := func(validUser, testUser string) string {
		var b strings.Builder
		b.WriteString("user,item,time\n")
		for i := range 80 {
			fmt.Fprintf(&b, "u%d,i%d,%d\n", i%10, (i*7)%13, 1_000_000+i)
		}
		for i := range 20 {
			user := validUser
			if i >= 10 {
				user = testUser
			}
			fmt.Fprintf(&b, "%s%d,i%d,%d\n", user, i%10, i%13, 1_000_100+i)
		}
		path := filepath.Join(t.TempDir(), "log.csv")
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := trainjob(t, trainArgs(write("new", "newer"), t.TempDir(), "--split", "temporal")...)
	if o.code != exitFailed || !strings.Contains(o.errors, "nothing to test on") || strings.Contains(o.errors, "epoch") {
		t.Errorf("no test case: exit code %d\n%s", o.code, o.errors)
	}
	o = must(t, trainArgs(write("new", "u"), t.TempDir(), "--split", "temporal", "--epochs", "1")...)
	if !strings.Contains(o.errors, "no validation case") {
		t.Errorf("no validation case: it is not told\n%s", o.errors)
	}
}

func TestPublishWeights(t *testing.T) {
	data, reg, other := world(t), t.TempDir(), t.TempDir()
	trained := must(t, trainArgs(data, reg)...).last(t)
	weights := filepath.Join(reg, trained["version"].(string), registry.WeightsFile)
	o := must(t, "publish", weights, "--data", data, "--registry", other, "--min-item-count", "0").last(t)
	if o["ndcg@10"] != trained["ndcg@10"] || o["promoted"] != true {
		t.Errorf("published %v, trained %v", o, trained)
	}
	if bad := trainjob(t, "publish", weights, "--data", data, "--registry", other, "--min-item-count", "30"); bad.code != exitFailed || !strings.Contains(bad.errors, "items") {
		t.Errorf("a model of another catalogue: exit code %d\n%s", bad.code, bad.errors)
	}
}

func TestImport(t *testing.T) {
	src := filepath.Join(t.TempDir(), "ratings.csv")
	var b strings.Builder
	b.WriteString("userId,movieId,rating,timestamp\n")
	for u := range 20 {
		for i := range 10 {
			fmt.Fprintf(&b, "u%d,m%d,4,%d\n", u, (u+i)%15, 978300000+60*i)
		}
	}
	b.WriteString("u1,,4,978300000\nu1,m2,4,yesterday\n")
	if err := os.WriteFile(src, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "set")
	o := must(t, "import", src, to)
	report := o.last(t)
	if report["events"] != 200.0 || report["faults"].(map[string]any)["total"] != 2.0 {
		t.Errorf("report %v", report)
	}
	for _, want := range []string{"item", "time", "202", "203"} { // kinds and lines
		if !strings.Contains(o.errors, want) {
			t.Errorf("the words lack %q:\n%s", want, o.errors)
		}
	}
	if again := must(t, "import", to).last(t); again["events"] != 200.0 || again["users"] != 20.0 {
		t.Errorf("what was written reads as %v", again)
	}
}

func TestUsage(t *testing.T) {
	data := world(t)
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nothing", nil, exitUsage, "expected one of"},
		{"unknown command", []string{"tarin"}, exitUsage, "tarin"},
		{"unknown flag", []string{"train", "--colour", "red"}, exitUsage, "--colour"},
		{"no data", []string{"train", "--registry", "x"}, exitUsage, "--data"},
		{"unknown recipe", trainArgs(data, t.TempDir(), "--recipe", "magic"), exitUsage, "sasrec-ce"},
		{"bad heads", trainArgs(data, t.TempDir(), "--heads", "3"), exitUsage, "heads is 3"},
		{"two faults at once", trainArgs(data, t.TempDir(), "--heads", "3", "--dropout", "2"), exitUsage, "dropout is 2"},
		{"a floor above 1", trainArgs(data, t.TempDir(), "--min-ndcg", "5"), exitUsage, "min-ndcg 5"},
		{"a drop above 1", trainArgs(data, t.TempDir(), "--max-drop", "2"), exitUsage, "max-drop 2"},
		{"a drop of NaN", []string{"publish", "main.go", "--data", data, "--registry", t.TempDir(), "--max-drop", "NaN"}, exitUsage, "max-drop NaN"},
		{"a share of NaN", []string{"import", data, "--largest-bad-share", "NaN"}, exitUsage, "share"},
		{"a rating of NaN", []string{"import", data, "--min-rating", "NaN"}, exitUsage, "rating"},
		{"promote and hold", trainArgs(data, t.TempDir(), "--promote", "--hold"), exitUsage, "--hold"},
		{"idle settings", trainArgs(data, t.TempDir(), "--recipe", "popularity", "--log-q", "--neighbours", "3"), exitUsage, "--epochs, --width, --length, --log-q, --batch-size, --neighbours: leave them out"},
		{"idle settings of kNN", trainArgs(data, t.TempDir(), "--recipe", "vmis-knn", "--sessions", "3"), exitUsage, "vmis-knn has no use for --epochs, --width, --length, --batch-size:"},
		{"missing file", trainArgs("/nowhere/at/all", t.TempDir()), exitFailed, "/nowhere/at/all"},
		{"no current version", []string{"evaluate", "--data", data, "--registry", t.TempDir()}, exitFailed, "no current version"},
		{"unknown version", []string{"promote", "01JC3V9Z6J2T5W8Q4X7N1M0KRE", "--registry", t.TempDir()}, exitFailed, "no"},
		{"nothing to roll back to", []string{"rollback", "--registry", t.TempDir()}, exitFailed, "roll"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := trainjob(t, tt.args...)
			if o.code != tt.code || !strings.Contains(o.errors, tt.says) {
				t.Errorf("exit code %d, want %d saying %q:\n%s", o.code, tt.code, tt.says, o.errors)
			}
			if o.out != "" {
				t.Errorf("a failure printed a result: %s", o.out)
			}
		})
	}
}

func TestHelpAndLists(t *testing.T) {
	if o := must(t, "train", "--help"); !strings.Contains(o.out, "3,416") || !strings.Contains(o.out, "TRAINJOB_RATE") {
		t.Errorf("help does not teach:\n%s", o.out)
	}
	all := must(t, "recipes").out
	for _, r := range recipes() {
		if !strings.Contains(all, r.name) {
			t.Errorf("recipes lacks %s", r.name)
		}
		if err := r.plan.WithDefaults().Validate(); err != nil {
			t.Errorf("recipe %s: %v", r.name, err)
		}
	}
	if o := must(t, "recipes", "beauty"); !strings.Contains(o.out, `"length": 50`) {
		t.Errorf("recipes beauty: %s", o.out)
	}
	if o := must(t, "version"); !regexp.MustCompile(`^trainjob .*kernels (avx512|avx2|generic)\n$`).MatchString(o.out) {
		t.Errorf("version: %q", o.out)
	}
}

func TestNoRegistryIsNotAnEmptyOne(t *testing.T) {
	for _, command := range []string{"list", "validate"} {
		o := trainjob(t, command, "--registry", filepath.Join(t.TempDir(), "typo"))
		if o.code != exitFailed || o.out != "" || !strings.Contains(o.errors, "typo") {
			t.Errorf("%s: exit code %d\n%s%s", command, o.code, o.out, o.errors)
		}
	}
	if o := must(t, "list", "--registry", t.TempDir()); !strings.Contains(o.out, "VERSION") {
		t.Errorf("an empty folder is an empty registry: %s", o.out)
	}
}

func TestValidateFindsDamage(t *testing.T) {
	data, reg := world(t), t.TempDir()
	version := must(t, "train", "--data", data, "--registry", reg, "--recipe", "popularity").last(t)["version"].(string)
	path := filepath.Join(reg, version, registry.WeightsFile)
	b := []byte(readFile(t, path))
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"validate"}, {"validate", version}, {"evaluate", "--data", data}} {
		if o := trainjob(t, append(args, "--registry", reg)...); o.code != exitFailed || !strings.Contains(o.errors, registry.WeightsFile) {
			t.Errorf("%v: exit code %d\n%s", args, o.code, o.errors)
		}
	}
}
