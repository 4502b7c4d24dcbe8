/** Collects effects in the order in which they are decided. */
import { type ControllerEffect, targetOf, type WriteEffect } from './controllerEvents.ts';
import { becomeWriting, isFull, mayWrite, type WriteLedger } from './writeLedger.ts';

/** Lets each write through only if none about its object is under way. */
export class Writes {
  ledger: WriteLedger;
  readonly effects: ControllerEffect[] = [];

  constructor(ledger: WriteLedger) {
    this.ledger = ledger;
  }

  /** Nothing more can be asked for. */
  get full(): boolean {
    return isFull(this.ledger);
  }

  ask(effect: WriteEffect): boolean {
    const { collection, key } = targetOf(effect);
    const object = `${collection}/${key}`;
    if (!mayWrite(this.ledger, object)) return false;
    this.ledger = becomeWriting(this.ledger, object);
    this.effects.push(effect);
    return true;
  }
}
