/** What nft makes of our transactions, as far as elements and content-named chains go; it refuses what the kernel refuses. */
import type { KernelState } from '../../failover/core/dataplane/kernelState.ts';
import { MANAGED_NAMES } from '../../failover/core/dataplane/kernelState.ts';

export class NftModel {
  /** `inet blocks` → key → value. */
  readonly elements = new Map<string, Map<string, string>>();
  readonly chains = new Map<string, string[]>();

  /** As `nft -f -`: throws where nft would refuse, which is a defect of whoever wrote the transaction. */
  run(transaction: string): void {
    for (const line of transaction.split('\n').filter((it) => it !== '')) this.#command(line);
    for (const [name, held] of this.elements)
      for (const [key, value] of held) {
        const chain = /^(?:goto|jump) (.+)$/.exec(value)?.[1];
        if (chain !== undefined && !this.chains.has(chain))
          throw new Error(`${name} { ${key} } points at chain ${chain}, which is gone`);
      }
  }

  /** What an agent that starts would read. */
  read(): KernelState {
    return {
      elements: new Map(MANAGED_NAMES.map((name) => [name, new Map(this.elements.get(name))])),
      chains: new Map([...this.chains.keys()].map((name) => [name, []])),
    };
  }

  #command(line: string): void {
    const [verb = '', object = '', family = '', , name = '', ...rest] = line.split(' ');
    switch (`${verb} ${object}`) {
      case 'add element':
      case 'delete element':
        return this.#change(verb, `${family} ${name}`, rest.slice(1, -1).join(' ').split(', '));
      case 'add chain':
        if (!this.chains.has(name)) this.chains.set(name, []);
        return;
      case 'add rule':
        this.#chain(name).push(rest.join(' '));
        return;
      case 'flush chain':
        this.#chain(name).length = 0;
        return;
      case 'delete chain':
        this.#chain(name);
        this.chains.delete(name);
        return;
      default:
        throw new Error(`the model does not know: ${line}`);
    }
  }

  #change(verb: string, name: string, elements: readonly string[]): void {
    const held = this.elements.get(name) ?? new Map<string, string>();
    this.elements.set(name, held);
    for (const element of elements) {
      const [key = '', value = ''] = element.split(' : ');
      if (verb === 'delete' && !held.delete(key)) throw new Error(`${name} { ${key} } is not there`);
      if (verb === 'delete') continue;
      if ((held.get(key) ?? value) !== value) throw new Error(`${name} { ${key} } exists with another value`);
      held.set(key, value);
    }
  }

  #chain(name: string): string[] {
    const rules = this.chains.get(name);
    if (rules === undefined) throw new Error(`there is no chain ${name}`);
    return rules;
  }
}
