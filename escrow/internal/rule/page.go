package rule

import (
	"bytes"

	"github.com/keposs/keposs/core"
)

// Page ends a scan whose p holds one record more than req asked for when there
// are more: it cuts p, says where to go on, and leaves deletion marks out where
// no tombstones were asked for.
func Page(p core.Page, req core.ScanRequest) core.Page {
	if n := req.Limit; len(p.Records) > n {
		p.Records, p.Deleted = p.Records[:n], p.Deleted[:n]
		p.Next = bytes.Clone(p.Records[n-1].Key)
	}
	if !req.Tombs {
		p.Deleted = nil
	}
	return p
}
