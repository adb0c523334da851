package roots

import "testing"

func TestBundledIsAFullSet(t *testing.T) {
	//lint:ignore SA1019 Subjects is complete for a pool that is not the system's
	if n := len(Bundled().Subjects()); n < 100 {
		t.Errorf("got %d roots, want over 100", n)
	}
}
