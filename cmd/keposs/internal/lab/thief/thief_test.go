package thief

import (
	"encoding/json"
	"testing"

	"github.com/keposs/keposs/core/protocol"
)

// Who finds the PIN, in a small space: the whole matrix of the design.
// req: K-5.3-02a, TK-09, X-02, K-5.1-04
func TestThief(t *testing.T) {
	res, err := Run(t.Context(), Options{Space: 400})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Cases) != 8 {
		t.Fatalf("%d cases, want 8", len(res.Cases))
	}
	for _, c := range res.Cases {
		hardened := c.Mode == protocol.ModeHardened.String()
		online := c.Attacker == Thief || c.Attacker == ThiefDatabase
		switch {
		case hardened && online && !c.Found: // a lucky thief is right within the limit
			if c.OnlineAnswers != int(res.Limit) || c.Ended != "SS-CC locked the user" {
				t.Errorf("%+v: want %d answers, then the lock", c, res.Limit)
			}
		case hardened && online:
			if c.OnlineAnswers > int(res.Limit) {
				t.Errorf("%+v: more than %d answers", c, res.Limit)
			}
		default:
			if c.Found != (c.Attacker != Operator) || c.OnlineAnswers != 0 {
				t.Errorf("%+v", c)
			}
		}
		want := 0
		if online {
			want = 1
		}
		if c.PolicyCalls != want {
			t.Errorf("%+v: %d policy calls, want %d", c, c.PolicyCalls, want)
		}
	}
	var back map[string]any
	b, err := json.Marshal(res)
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	first, _ := back["cases"].([]any)[0].(map[string]any)
	for _, field := range []string{"mode", "attacker", "found", "online_answers", "seconds"} {
		if _, ok := first[field]; !ok || err != nil {
			t.Errorf("the JSON lacks %s (%v)", field, err)
		}
	}
	if res.Real.SecondsSix < 90*res.Real.SecondsFour {
		t.Errorf("%+v: six digits are a hundred times four", res.Real)
	}
}
