package sm_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/testenv"
)

// In a build with the tag keposs_castfail each test can be made to fail, and
// then it alone does; the environment of a release build changes nothing.
// req: TK-04, K-16-05, G-7.10-03, K-16-00
func TestEachTestCanBeMadeToFail(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go tool is not installed")
	}
	testenv.NeedLevel(t, 1)
	bin := t.TempDir() + "/fail.test"
	if out, err := exec.Command("go", "test", "-c", "-tags", "keposs_castfail", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, k := range append(sm.KATs(), sm.KAT{Name: "pair"}) {
		test := "TestKnownAnswers"
		if k.Name == "pair" {
			test = "TestPairTestAndWipe"
		}
		cmd := exec.Command(bin, "-test.run", "^"+test+"$", "-test.v")
		cmd.Env = append(cmd.Environ(), "KEPOSS_CAST_FAIL="+k.Name)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s does not fail", k.Name)
		}
		if k.Name != "pair" && (bytes.Count(out, []byte("--- FAIL: TestKnownAnswers/")) != 1 || !bytes.Contains(out, []byte("sm: self-test "+k.Name+":"))) {
			t.Errorf("%s: not exactly this one fails:\n%s", k.Name, out)
		}
	}
	t.Setenv("KEPOSS_CAST_FAIL", "sm3-abc")
	if err := sm.KATs()[0].Run(); err != nil {
		t.Errorf("a release build fails on request: %v", err)
	}
}
