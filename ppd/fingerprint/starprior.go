package fingerprint

// What is common to all fingers, so that it need not tell a right helper from a
// wrong one: where minutiae are found and how ridges run there. Counted on
// FVC2002 DB1_B and the U.are.U set, mirrored for left and right hands, smoothed,
// and floored so that no finger is excluded.

// directionPrior gives, for the zone of 70 px a star lies in (row by row from
// the bottom left), how many of 256 code values each sixteenth of a turn gets.
var directionPrior = [25][16]uint8{
	{8, 32, 26, 11, 14, 30, 32, 11, 2, 6, 36, 20, 13, 5, 4, 6},
	{14, 22, 31, 10, 22, 25, 21, 10, 5, 9, 23, 19, 17, 10, 7, 11},
	{17, 21, 24, 9, 9, 24, 21, 17, 11, 9, 17, 20, 20, 17, 9, 11},
	{10, 21, 25, 22, 10, 31, 22, 14, 11, 7, 10, 17, 19, 23, 9, 5},
	{11, 32, 30, 14, 11, 26, 32, 8, 6, 4, 5, 13, 20, 36, 6, 2},
	{11, 18, 45, 17, 12, 9, 3, 1, 1, 8, 47, 52, 22, 7, 1, 2},
	{7, 17, 44, 20, 18, 11, 6, 2, 2, 7, 25, 40, 33, 14, 6, 4},
	{9, 12, 17, 16, 16, 17, 12, 9, 6, 8, 27, 33, 33, 27, 8, 6},
	{2, 6, 11, 18, 20, 44, 17, 7, 4, 6, 14, 33, 40, 25, 7, 2},
	{1, 3, 9, 12, 17, 45, 18, 11, 2, 1, 7, 22, 52, 47, 8, 1},
	{2, 14, 49, 23, 3, 1, 1, 1, 1, 19, 64, 62, 12, 2, 1, 1},
	{7, 19, 36, 25, 7, 2, 1, 1, 2, 15, 45, 59, 25, 7, 2, 3},
	{8, 6, 13, 15, 15, 13, 6, 8, 9, 14, 26, 37, 37, 26, 14, 9},
	{1, 1, 2, 7, 25, 36, 19, 7, 3, 2, 7, 25, 59, 45, 15, 2},
	{1, 1, 1, 3, 23, 49, 14, 2, 1, 1, 2, 12, 62, 64, 19, 1},
	{6, 26, 42, 14, 1, 1, 1, 1, 4, 50, 59, 44, 4, 1, 1, 1},
	{18, 40, 42, 8, 1, 1, 1, 2, 9, 41, 46, 29, 8, 2, 3, 5},
	{22, 10, 7, 4, 4, 7, 10, 22, 22, 24, 18, 21, 21, 18, 24, 22},
	{2, 1, 1, 1, 8, 42, 40, 18, 5, 3, 2, 8, 29, 46, 41, 9},
	{1, 1, 1, 1, 14, 42, 26, 6, 1, 1, 1, 4, 44, 59, 50, 4},
	{16, 44, 37, 3, 1, 1, 1, 1, 10, 72, 48, 18, 1, 1, 1, 1},
	{48, 51, 21, 1, 1, 1, 1, 5, 29, 53, 26, 7, 1, 1, 3, 7},
	{45, 9, 2, 1, 1, 2, 9, 45, 40, 24, 5, 2, 2, 5, 24, 40},
	{5, 1, 1, 1, 1, 21, 51, 48, 7, 3, 1, 1, 7, 26, 53, 29},
	{1, 1, 1, 1, 3, 37, 44, 16, 1, 1, 1, 1, 18, 48, 72, 10},
}

// radialPrior weighs a place by its squared distance from the centre, in
// eighths of starRadius².
var radialPrior = [8]int{20, 18, 16, 8, 7, 4, 3, 2}

// axisPrior is the mean ridge direction of each zone, in 256ths of a turn modulo
// a half.
var axisPrior = [25]int{52, 56, 64, 72, 76, 48, 54, 64, 74, 80, 45, 48, 64, 80, 83, 38, 34, 0, 94, 90, 30, 21, 0, 107, 98}

// agreement weighs how far a star's direction is from what a near neighbour's
// suggests, in 32nds of a turn modulo a half: ridges run alike.
var agreement = [5]int{40, 15, 4, 1, 1}

// near is how far, in pixels, a neighbour tells.
const near = 140

func zone(x, y int) int {
	at := func(v int) int { return min(4, max(0, (v+175)/70)) }
	return 5*at(y) + at(x)
}

// shares says how many of 256 direction codes each sixteenth of a turn gets at
// a place, given the stars before: at least one each.
func shares(before []star, x, y int) (out [16]uint8) {
	z := zone(x, y)
	var weight [16]int
	total := 0
	for b := range weight {
		w := int(directionPrior[z][b])
		for _, s := range before {
			dx, dy := x-s.x, y-s.y
			if dx*dx+dy*dy < near*near {
				turned := (16*b + 8 - axisPrior[z]) - (s.angle - axisPrior[zone(s.x, s.y)])
				d := ((turned % 128) + 128) % 128
				w *= agreement[(min(d, 128-d)+8)/16]
			}
		}
		weight[b] = w
		total += w
	}
	best, left := 0, 240
	for b, w := range weight {
		n := w * 240 / total
		out[b] = uint8(1 + n)
		left -= n
		if w > weight[best] {
			best = b
		}
	}
	out[best] += uint8(left)
	return out
}
