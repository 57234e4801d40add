// Package ppdtest is the kit every [core.Source] passes: a list of cases as
// data, each with the rule it checks and what to do when it fails. The same
// cases serve go test and a black-box check of an executable, because a case
// gets its source from a [Transport] and reports an error, not a *testing.T.
//
//	func TestConformance(t *testing.T) {
//		ppdtest.Run(t, ppdtest.Harness{
//			New:    func() core.Source { return pin.New() },
//			Person: ppdtest.PIN,
//		})
//	}
//
// Synthetic persons live one kind to a file: pin.go, pattern.go.
package ppdtest
