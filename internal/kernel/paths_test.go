package kernel

import "testing"

// onEachPath runs a test once on every instruction set of this machine.
func onEachPath(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, name := range Paths() {
		t.Run(name, func(t *testing.T) {
			usePath(t, name)
			test(t)
		})
	}
}

// usePath switches the instruction set until the test ends.
func usePath(t testing.TB, name string) {
	t.Helper()
	before := Features()
	if err := SetPath(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := SetPath(before); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSetPath(t *testing.T) {
	if err := SetPath("mmx"); err == nil {
		t.Error("an unknown instruction set was accepted")
	}
	paths := Paths()
	if paths[len(paths)-1] != "generic" {
		t.Errorf("paths %v do not end with generic", paths)
	}
	for _, name := range paths {
		usePath(t, name)
		if got := Features(); got != name {
			t.Errorf("after SetPath(%q) Features is %q", name, got)
		}
	}
}
