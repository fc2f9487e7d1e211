//! What a name resolves to when its server gives only some of the addresses at a time, in
//! turn or at random: the addresses of several look-ups together, so that endpoints do not
//! come and go with each. Pure; counts look-ups, reads no clock.

use std::net::IpAddr;

/// While a name rotates, an address that so many look-ups in a row did not bring is gone.
const REMEMBERED: u32 = 16;

/// This many changes among the last eight answers, with an address that came back, are a
/// rotation. A switch that is taken back counts as two.
const CHANGES: u32 = 3;

/// Where each of this many last answers has nothing in common with the one before, there are
/// many addresses, and it may be long until one comes back.
const REPLACED: u8 = 0b1111;

/// The answers for one name.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    look: u32,
    /// Addresses and the look-up that brought them last.
    seen: Vec<(IpAddr, u32)>,
    /// The last eight answers, the latest in the lowest bit: whether each was another one.
    changed: u8,
    /// Whether each brought an address back.
    returned: u8,
    /// Whether each had nothing in common with the one before.
    replaced: u8,
    rotates: bool,
}

impl Rotation {
    /// Whether the name gives some of its addresses at a time.
    pub fn rotates(&self) -> bool {
        self.rotates
    }

    /// Takes one answer, and gives the addresses that the name stands for, sorted.
    pub fn take(&mut self, answer: &[IpAddr]) -> Vec<IpAddr> {
        let before = self.look;
        self.look += 1;
        let last = |address: &IpAddr| {
            let known = self.seen.iter().find(|(seen, _)| seen == address);
            known.map(|(_, look)| *look)
        };
        let kept = answer.iter().filter(|a| last(a) == Some(before)).count();
        let returned = answer.iter().any(|a| last(a).is_some_and(|l| l < before));
        let had = self.seen.iter().filter(|(_, look)| *look == before).count();
        let note = |bits: &mut u8, is: bool| *bits = *bits << 1 | u8::from(is);
        note(
            &mut self.changed,
            before > 0 && (kept < had || kept < answer.len()),
        );
        note(&mut self.returned, returned);
        note(&mut self.replaced, before > 0 && kept == 0);

        let look = self.look;
        self.seen
            .retain(|(seen, last)| !answer.contains(seen) && look - last < REMEMBERED);
        self.seen
            .extend(answer.iter().map(|address| (*address, look)));
        self.rotates = match self.rotates {
            true => self.seen.len() > answer.len(),
            false => {
                (self.changed.count_ones() >= CHANGES && self.returned != 0)
                    || self.replaced & REPLACED == REPLACED
            }
        };
        let all = self.seen.iter().map(|(address, _)| *address);
        let mut addresses: Vec<IpAddr> = match self.rotates {
            true => all.collect(),
            false => answer.to_vec(),
        };
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    fn take(rotation: &mut Rotation, numbers: &[u8]) -> Vec<IpAddr> {
        let answer: Vec<IpAddr> = numbers.iter().copied().map(ip).collect();
        rotation.take(&answer)
    }

    #[test]
    fn one_address_at_a_time_settles_on_all_of_them() {
        let mut rotation = Rotation::default();
        for n in [1, 2, 3] {
            take(&mut rotation, &[n]);
        }
        for n in (0..60).map(|n| n % 3 + 1) {
            assert_eq!(take(&mut rotation, &[n]), [ip(1), ip(2), ip(3)]);
        }
        // One of them is taken out.
        let left = (0..40).map(|n| take(&mut rotation, &[n % 2 + 1])).last();
        assert_eq!(left.unwrap(), [ip(1), ip(2)]);
    }

    #[test]
    fn many_addresses_in_turn_are_a_rotation_before_the_first_comes_back() {
        let mut rotation = Rotation::default();
        let counts: Vec<usize> = (0..40).map(|n| take(&mut rotation, &[n]).len()).collect();
        assert_eq!(counts[..5], [1, 1, 1, 1, 5]);
        assert_eq!(counts[39], REMEMBERED as usize);
    }

    #[test]
    fn a_switch_and_its_way_back_are_followed_at_once() {
        let mut rotation = Rotation::default();
        for (answer, wanted) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 1), (1, 1)] {
            assert_eq!(take(&mut rotation, &[answer]), [ip(wanted)]);
        }
        assert!(!rotation.rotates());
    }

    #[test]
    fn a_set_whose_members_are_replaced_one_by_one_is_followed() {
        let mut rotation = Rotation::default();
        for n in 1..30 {
            let answer = [n, n + 1, n + 2];
            assert_eq!(take(&mut rotation, &answer).len(), 3, "{n}");
        }
    }

    #[test]
    fn a_name_that_stops_rotating_is_what_it_says() {
        let mut rotation = Rotation::default();
        for n in [1, 2, 1, 2, 1] {
            take(&mut rotation, &[n]);
        }
        assert!(rotation.rotates());
        let last = (0..REMEMBERED).map(|_| take(&mut rotation, &[2])).last();
        assert_eq!(last.unwrap(), [ip(2)]);
        assert!(!rotation.rotates());
    }
}
