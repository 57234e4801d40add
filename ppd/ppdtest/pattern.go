package ppdtest

import "github.com/keposs/keposs/core"

// gestures hold for the phone rules on 3×3, none a simple shape.
var gestures = [...]string{
	"1-6-7-2-9-4", "1-6-7-2-9", "2-7-6-1-8-3", "3-4-9-2-7-6", "4-3-8-1-6-7", "6-1-8-3-4-9", "7-6-1-8-3-4", "8-1-6-7-2-9", "9-4-3-8-1-6", "2-9-4-3-8-1",
}

// Pattern is the person of a seed with a gesture on the 3×3 grid; there are
// ten of them.
func Pattern(seed uint64) Person {
	return typist{core.SamplePattern, []byte(gestures[seed%uint64(len(gestures))])}
}

// PoorPattern is an answer of a wrong form: a line over an unused dot.
func PoorPattern(core.Prompt) core.Sample {
	return core.NewSample(core.SamplePattern, []byte("1-3-5-7"))
}
