package fingerprint

import "math"

// What an attacker who has unmasked helpers can say about them. The protection
// suite uses it as the strongest test it knows: as stored, and with a wrong key,
// it must tell nothing.

// Link scores how alike two unmasked helpers' constellations are: stars of one
// that meet stars of the other under the best motion. Both must be of a
// one-finger profile.
func Link(a, b []byte) float64 {
	if len(a) != Default.HelperSize() || len(b) != Default.HelperSize() {
		return 0
	}
	return bestScore(skyOf(decodeStars(b[offsetBytes:])), decodeStars(a[offsetBytes:]))
}

// LinkPrint scores an unmasked one-finger helper against a print.
func LinkPrint(helper []byte, v View) float64 {
	if len(helper) != Default.HelperSize() {
		return 0
	}
	return bestScore(points(v), decodeStars(helper[offsetBytes:]))
}

func bestScore(query []point, stars []star) float64 {
	if h := hypotheses(query, skyOf(stars), 1); len(h) > 0 {
		return h[0].score
	}
	return 0
}

// Plausibility returns figures in which a finger's constellation might differ
// from one decoded from random bytes: where its stars lie, how far apart they
// are, how well their directions fit the flow common to fingers, and how well
// neighbours' directions agree with each other.
func Plausibility(helper []byte) map[string]float64 {
	if len(helper) < offsetBytes+starCount*starBytes {
		return nil
	}
	return plausibility(decodeStars(helper[offsetBytes:]))
}

func plausibility(stars []star) map[string]float64 {
	var r, nearest, flow, agree, pairs float64
	for i, s := range stars {
		r += math.Hypot(float64(s.x), float64(s.y))
		p := s.point()
		flow += math.Log2(float64(directionPrior[zone(s.x, s.y)][s.angle/16]))
		best := math.Inf(1)
		for j, o := range stars {
			if i == j {
				continue
			}
			d := distance(p, o.point())
			best = math.Min(best, d)
			if d < 2*starGap {
				agree += math.Cos(2 * (p.a - o.point().a))
				pairs++
			}
		}
		nearest += best
	}
	n := float64(len(stars))
	return map[string]float64{"radius": r / n, "nearest": nearest / n, "flow": flow / n, "neighbours": agree / math.Max(1, pairs)}
}
