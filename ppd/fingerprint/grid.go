package fingerprint

import "math"

// The grid: hexagons of side-to-side distance spacing over a disc, times
// direction sectors. A place in it is one cell.
const (
	spacing = 18.0
	radius  = 220.0
	sectors = 8
)

// hexRange bounds the axial coordinates of hexagons in the disc.
const hexRange = 16

// hexes numbers the hexagons whose centre lies in the disc, row by row.
var hexes, hexCount = numberHexes()

func numberHexes() (t [2*hexRange + 1][2*hexRange + 1]int16, n int) {
	for r := -hexRange; r <= hexRange; r++ {
		for q := -hexRange; q <= hexRange; q++ {
			x, y := hexCentre(q, r)
			t[q+hexRange][r+hexRange] = -1
			if math.Hypot(x, y) <= radius {
				t[q+hexRange][r+hexRange] = int16(n)
				n++
			}
		}
	}
	return t, n
}

// cellCount is the number of cells of one finger.
func cellCount() int { return hexCount * sectors }

func hexCentre(q, r int) (x, y float64) {
	return spacing * (float64(q) + float64(r)/2), spacing * math.Sqrt(3) / 2 * float64(r)
}

// hexAt rounds a place to its hexagon (cube rounding).
func hexAt(x, y float64) (q, r int) {
	fr := y / (spacing * math.Sqrt(3) / 2)
	fq := x/spacing - fr/2
	fs := -fq - fr
	rq, rr, rs := math.Round(fq), math.Round(fr), math.Round(fs)
	dq, dr, ds := math.Abs(rq-fq), math.Abs(rr-fr), math.Abs(rs-fs)
	if dq > dr && dq > ds {
		rq = -rr - rs
	} else if dr > ds {
		rr = -rq - rs
	}
	return int(rq), int(rr)
}

func hexIndex(q, r int) int {
	if q < -hexRange || q > hexRange || r < -hexRange || r > hexRange {
		return -1
	}
	return int(hexes[q+hexRange][r+hexRange])
}

// An offset shifts the grid: position by a part of a hexagon, direction by a
// part of a sector, each in 1/256.
type offset struct{ u, v, w uint8 }

// offsetBytes is an offset as stored; every value is one.
const offsetBytes = 3

func (o offset) place(p point) (x, y, sector float64) {
	u, v := float64(o.u)/256, float64(o.v)/256
	x = p.x + spacing*(u+v/2)
	y = p.y + spacing*math.Sqrt(3)/2*v
	return x, y, wrap(p.a+turn/sectors*float64(o.w)/256) / (turn / sectors)
}

// sectorPixels weighs direction against position: a sector's width in pixels of
// comparable uncertainty.
const sectorPixels = 30.0

// cell returns the cell of p, −1 outside the disc, and its margin: the distance
// to the nearest border in pixels, a sector counted as sectorPixels wide.
func (o offset) cell(p point) (id int, margin float64) {
	x, y, s := o.place(p)
	q, r := hexAt(x, y)
	h := hexIndex(q, r)
	if h < 0 {
		return -1, 0
	}
	frac := s - math.Floor(s)
	margin = sectorPixels * math.Min(frac, 1-frac)
	for _, d := range hexDirs {
		margin = math.Min(margin, borderDistance(x, y, q, r, d))
	}
	return h*sectors + int(s)%sectors, margin
}

var hexDirs = [6][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, -1}, {-1, 1}}

// borderDistance is how far a place in hexagon (q, r) is from the side towards
// the neighbour d.
func borderDistance(x, y float64, q, r int, d [2]int) float64 {
	cx, cy := hexCentre(q, r)
	nx, ny := hexCentre(d[0], d[1])
	return spacing/2 - ((x-cx)*nx+(y-cy)*ny)/spacing
}
